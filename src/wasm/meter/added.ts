import { bulkFunction, entryFunction, growFunction, i32, refillFunction, type Added, type Indices } from "./helpers.ts";
import { bulkOps } from "./opcodes.ts";
import { numberAt } from "./skip.ts";
import type { Signature } from "../types.ts";

interface Setting {
  /** The index of the first function that is added. */
  readonly firstFunction: number;
  readonly checkpoint: number;
  readonly wait: number | undefined;
  readonly fuel: number;
}

/** The functions that a rewritten module has besides its own, made when they are first asked for. */
export class AddedFunctions {
  readonly indices: Indices;
  readonly functions: Added[] = [];
  /** By table: the type of its elements. */
  tableTypes: readonly (readonly number[])[] = [];
  readonly #first: number;
  readonly #known = new Map<string, number>();

  constructor({ firstFunction, checkpoint, wait, fuel }: Setting) {
    this.#first = firstFunction;
    this.indices = { checkpoint, wait, fuel, refill: firstFunction };
    this.functions.push(refillFunction(this.indices));
  }

  #index(key: string, make: () => Added): number {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const index = this.#first + this.functions.push(make()) - 1;
    this.#known.set(key, index);
    return index;
  }

  grow(): number {
    return this.#index("grow", () => growFunction(this.indices));
  }

  bulk(code: number, immediates: Uint8Array): number {
    return this.#index(`bulk ${code} ${immediates.join()}`, () =>
      bulkFunction(this.indices, code, immediates, this.#bulkType(code, immediates)),
    );
  }

  #bulkType(code: number, immediates: Uint8Array): readonly number[] {
    const element = this.tableTypes[numberAt(immediates, 0)] ?? [];
    if (code === bulkOps.tableGrow) return [2, ...element, i32, 1, i32];
    if (code === bulkOps.tableFill) return [3, i32, ...element, i32, 0];
    return [3, i32, i32, i32, 0];
  }

  /** For calls from outside of a function that leaves its own charge to its callers. `type`: the index of its own. */
  entry(target: number, cost: number, { parameters }: Signature, type: number): number {
    return this.#index(`entry ${target}`, () => entryFunction(this.indices, target, cost, parameters.length, type));
  }
}
