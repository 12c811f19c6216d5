import { BoundError } from "../binary.ts";

/** What a module may have at most, so that compiling it takes a bounded time. */
export interface ModuleBounds {
  readonly types: number;
  /** Parameters and results of all types together. */
  readonly typeValues: number;
  readonly customSections: number;
  readonly imports: number;
  readonly exports: number;
  readonly functions: number;
  readonly globals: number;
  readonly tables: number;
  /** Of one table. V8 aborts the whole process when a table of `externref` grows without end. */
  readonly tableElements: number;
  readonly segments: number;
  /** Of all element segments together. */
  readonly segmentElements: number;
  /** Of one function, its parameters included. */
  readonly locals: number;
  /** Of all functions together: an engine's first code for a function sets each of them. */
  readonly allLocals: number;
  /** Calls in all functions together: what takes a compiler longest. */
  readonly calls: number;
  /** Of one function, in bytes. */
  readonly bodyBytes: number;
  /** Blocks inside each other. */
  readonly nesting: number;
  /** Loops inside each other, and in one function: an optimising compiler goes over what is inside once for each around it. */
  readonly loopNesting: number;
  readonly loops: number;
  /** In all functions together: each becomes some ten times as long. */
  readonly allLoops: number;
  /** Of one `try_table`. */
  readonly clauses: number;
  /**
   * Locals times blocks of one function, a loop as four: a compiler joins the state of each local at the end of each block, so its time
   * and memory grow with this product, by some 30 ns and 12 bytes for each. Browsers' engines have the largest of real ones, 1.5 million.
   */
  readonly joins: number;
  /** The same, summed over all functions. Of real ones 16 million. */
  readonly allJoins: number;
}

export const defaultBounds: ModuleBounds = {
  types: 20_000,
  typeValues: 200_000,
  customSections: 10_000,
  imports: 10_000,
  exports: 10_000,
  functions: 200_000,
  globals: 10_000,
  tables: 16,
  tableElements: 100_000,
  segments: 100_000,
  segmentElements: 1_000_000,
  locals: 5_000,
  allLocals: 2_000_000,
  calls: 2_000_000,
  bodyBytes: 2 ** 20,
  nesting: 2_000,
  loopNesting: 100,
  loops: 5_000,
  allLoops: 200_000,
  clauses: 1_000,
  joins: 4_000_000,
  allJoins: 50_000_000,
};

/** @throws BoundError */
export function assertAtMost(what: string, count: number, most: number): void {
  if (count > most) throw new BoundError(`has ${count} ${what}, the most is ${most}`);
}
