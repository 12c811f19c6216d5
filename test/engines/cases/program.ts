import { ends } from "./ends.ts";
import { observeGenerated } from "./generated.ts";
import { kernelCase, type KernelData } from "./kernels.ts";
import { constants, hot, tables } from "./nans.ts";
import { observe, type Sight } from "./observe.ts";
import { recursions } from "./recursions.ts";

export interface ProgramOptions {
  readonly kernels: readonly KernelData[];
  readonly generatedModules: number;
  /** How much fuel the host gives at a time: what it is must not matter. */
  readonly sliceUnits: number;
}

/** All that an engine is asked. Needs no timer and no message, so it can run where a worker starts. */
export async function seeAll({ kernels, generatedModules, sliceUnits }: ProgramOptions): Promise<Sight[]> {
  const sights: Sight[] = [];
  const see = async (name: string, look: () => Promise<Sight> | Sight): Promise<void> => {
    try {
      sights.push(await look());
    } catch (error) {
      sights.push({ name, rewritten: "", lines: [], refused: String(error) });
    }
  };
  for (const one of [tables, constants, hot, ...recursions, ...ends, ...kernels.map(kernelCase)]) {
    await see(one.name, () => observe(one, sliceUnits));
  }
  for (let seed = 1; seed <= generatedModules; seed++) await see(`generated ${seed}`, () => observeGenerated(seed, sliceUnits));
  return sights;
}
