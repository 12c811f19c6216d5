import type { BenchTable, Effort } from "./measure.ts";
export async function benchHttp(_effort: Effort): Promise<BenchTable[]> {
  return [];
}
