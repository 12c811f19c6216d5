import { checkpointName, fuelName, hostNamespace, memoryName, startName, type MeteredModule } from "../../src/wasm/meter/index.ts";
import type { Generated } from "./generate.ts";
import { run, runAsync, type Promising, type Run, type Surroundings } from "./running.ts";

/** What the host gives at each checkpoint, by its number from 0; nothing more once that is below zero. */
export type Grants = (checkpoint: number) => number;

/** A module after rewriting, and how it was rewritten. */
export interface Metered {
  readonly module: WebAssembly.Module;
  readonly generated: Generated;
  readonly rewritten: MeteredModule;
  readonly initialFuel: number;
}

export interface FueledRun extends Run {
  /** Units used, by the books of the contract: what the guest began with, and was given, less what is left. 0 where no instance could be made. */
  readonly used: number;
  /** The same at each place where the host could look. */
  readonly usedAt: readonly number[];
  /** The books after instantiation and after each call: units used, and what the module itself counted. */
  readonly books: readonly { readonly used: number; readonly work: number; readonly most: number }[];
  /** All that the guest had. */
  readonly granted: number;
  readonly checkpoints: number;
  /** Whether the guest asked for more than there was. */
  readonly isDenied: boolean;
  /** Checkpoints after the one that was answered with the end. */
  readonly late: number;
}

export const mostGrant = 2 ** 30;

/** The least host that there can be, with its own books. */
class Books {
  granted: number;
  checkpoints = 0;
  isDenied = false;
  late = 0;
  readonly usedAt: number[] = [];
  readonly books: { used: number; work: number; most: number }[] = [];
  readonly #grants: Grants;

  constructor(initialFuel: number, grants: Grants) {
    this.granted = initialFuel;
    this.#grants = grants;
  }

  readonly checkpoint = (): number => {
    if (this.isDenied) this.late++;
    const units = this.isDenied ? -1 : this.#grants(this.checkpoints++);
    if (units < 0) this.isDenied = true;
    else this.granted += units;
    return units;
  };

  surroundings(checkpoint: WebAssembly.ImportValue, { memory }: MeteredModule): Surroundings {
    const limits = memory && { initial: memory.min, ...(memory.max === undefined ? {} : { maximum: memory.max }) };
    return {
      imports: { [hostNamespace]: { [checkpointName]: checkpoint, ...(limits && { [memoryName]: new WebAssembly.Memory(limits) }) } },
      look: (instance, place) => {
        const used = this.#usedBy(instance);
        this.usedAt.push(used);
        if (place === "between calls") this.books.push({ used, work: counted(instance, "work"), most: counted(instance, "most") });
      },
      startName,
      isOver: () => this.isDenied,
    };
  }

  #usedBy(instance: WebAssembly.Instance | undefined): number {
    const fuel = instance?.exports[fuelName];
    return fuel instanceof WebAssembly.Global ? this.granted - Number(fuel.value) : 0;
  }

  seen(run: Run): FueledRun {
    const { granted, checkpoints, isDenied, late, usedAt, books } = this;
    return { ...run, granted, checkpoints, isDenied, late, usedAt, books, used: this.#usedBy(run.instance) };
  }
}

function counted(instance: WebAssembly.Instance | undefined, name: "work" | "most"): number {
  const global = instance?.exports[name];
  return global instanceof WebAssembly.Global ? Number(global.value) : 0;
}

export function runFueled({ module, generated, rewritten, initialFuel }: Metered, grants: Grants): FueledRun {
  const books = new Books(initialFuel, grants);
  return books.seen(run(module, generated, books.surroundings(books.checkpoint, rewritten)));
}

/** The same with checkpoints for which the guest's stack waits. */
export async function runSuspended(
  { module, generated, rewritten, initialFuel }: Metered,
  grants: Grants,
  jspi: { readonly suspending: (host: () => Promise<number>) => WebAssembly.ImportValue; readonly promising: Promising },
): Promise<FueledRun> {
  const books = new Books(initialFuel, grants);
  const checkpoint = jspi.suspending(() => Promise.resolve(books.checkpoint()));
  return books.seen(await runAsync(module, generated, books.surroundings(checkpoint, rewritten), jspi.promising));
}
