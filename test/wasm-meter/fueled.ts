import {
  checkpointName,
  depthName,
  fuelName,
  hostNamespace,
  memoryName,
  startName,
  type MeteredModule,
} from "../../src/wasm/meter/index.ts";
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

export interface Book {
  /** Units used. */
  readonly used: number;
  /** What the module itself counted. */
  readonly work: number;
  readonly most: number;
  /** What is left of the stack, where that is counted. */
  readonly depth: number | undefined;
  readonly hasReturned: boolean;
}

export interface FueledRun extends Run {
  /** Units used, by the books of the contract: what the guest began with, and was given, less what is left. 0 where no instance could be made. */
  readonly used: number;
  /** The same at each place where the host could look. */
  readonly usedAt: readonly number[];
  /** The books after instantiation and after each call. */
  readonly books: readonly Book[];
  /** All that the guest had. */
  readonly granted: number;
  readonly checkpoints: number;
  /** Whether the guest asked for more than there was. */
  readonly isDenied: boolean;
  /** Checkpoints after the one that was answered with the end. */
  readonly late: number;
  /** Whether the host saw the guest again, after it took all fuel away in a function of its own, before the guest asked for more. */
  readonly hasSlipped: boolean;
}

export const mostGrant = 2 ** 30;

/** The least host that there can be, with its own books. */
class Books {
  granted: number;
  checkpoints = 0;
  isDenied = false;
  late = 0;
  hasSlipped = false;
  /** Set where the next thing that the guest does must be to ask. */
  #isTaken = false;
  readonly usedAt: number[] = [];
  readonly books: Book[] = [];
  readonly #grants: Grants;

  /** Host calls until the host takes all fuel away. */
  #untilTaken: number;

  constructor(initialFuel: number, grants: Grants, takeAt = Number.POSITIVE_INFINITY) {
    this.granted = initialFuel;
    this.#grants = grants;
    this.#untilTaken = takeAt;
  }

  readonly checkpoint = (): number => {
    if (this.isDenied) this.late++;
    if (this.#isTaken) this.isDenied = true;
    this.#isTaken = false;
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
        if (this.#isTaken) this.hasSlipped = true;
        if (place === "inside" && this.#untilTaken-- === 0) this.#takeAll(instance);
        this.usedAt.push(used);
        if (place === "returned" || place === "threw") this.books.push(bookOf(instance, used, place === "returned"));
      },
      startName,
      isOver: () => this.isDenied,
    };
  }

  /** And a unit more, as a host does that wants the guest to come to its checkpoint. */
  #takeAll(instance: WebAssembly.Instance | undefined): void {
    const fuel = instance?.exports[fuelName];
    if (!(fuel instanceof WebAssembly.Global)) return;
    const left = Number(fuel.value);
    if (left < 0) return;
    this.granted -= left + 1;
    fuel.value = -1;
    this.#isTaken = true;
  }

  #usedBy(instance: WebAssembly.Instance | undefined): number {
    const fuel = instance?.exports[fuelName];
    return fuel instanceof WebAssembly.Global ? this.granted - Number(fuel.value) : 0;
  }

  seen(run: Run): FueledRun {
    const { granted, checkpoints, isDenied, late, hasSlipped, usedAt, books } = this;
    return { ...run, granted, checkpoints, isDenied, late, hasSlipped, usedAt, books, used: this.#usedBy(run.instance) };
  }
}

function bookOf(instance: WebAssembly.Instance | undefined, used: number, hasReturned: boolean): Book {
  const [work = 0, most = 0, depth] = ["work", "most", depthName].map((name) => {
    const global = instance?.exports[name];
    return global instanceof WebAssembly.Global ? Number(global.value) : undefined;
  });
  return { used, work, most, depth, hasReturned };
}

export function runFueled({ module, generated, rewritten, initialFuel }: Metered, grants: Grants, takeAt?: number): FueledRun {
  const books = new Books(initialFuel, grants, takeAt);
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
