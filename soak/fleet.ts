import { batchHolds, soakBatch, type BatchReport } from "./fleet-batch.ts";
import { overloadHolds, soakOverload, type OverloadReport } from "./fleet-overload.ts";

export interface FleetReport {
  readonly overload: readonly OverloadReport[];
  readonly batches: readonly BatchReport[];
  readonly holds: boolean;
}

/** A fleet of three processes under ten times its capacity, then with a node killed every ten seconds. */
export async function soakFleet(options: { seconds: number; inputs: number }, tell: (line: string) => void): Promise<FleetReport> {
  const overload: OverloadReport[] = [];
  for (const through of ["edge", "nodes"] as const) {
    const report = await soakOverload(through, options.seconds);
    tell(JSON.stringify(report));
    overload.push(report);
  }
  const batches: BatchReport[] = [];
  let holds = overload.every(overloadHolds);
  for (const tool of ["append", "append-again"]) {
    const report = await soakBatch(tool, options.inputs, (done) => tell(`${done} inputs of "${tool}"`));
    batches.push(report);
    holds &&= batchHolds(report, tool === "append-again");
  }
  return { overload, batches, holds };
}
