/** What a module may have at most, so that compiling it takes a bounded time. */
export interface ModuleBounds {
  readonly types: number;
  readonly imports: number;
  readonly exports: number;
  readonly functions: number;
  readonly globals: number;
  readonly tables: number;
  /** Of one table. V8 aborts the whole process when a table of `externref` grows without end. */
  readonly tableElements: number;
  readonly segments: number;
  /** Of one function, its parameters included. */
  readonly locals: number;
  /** Of one function, in bytes. */
  readonly bodyBytes: number;
  /** Blocks inside each other. */
  readonly nesting: number;
  /**
   * Locals times blocks of one function, summed over all: a compiler joins the state of each local at the end of each
   * block, so its time grows with this product.
   */
  readonly joins: number;
}

export const defaultBounds: ModuleBounds = {
  types: 20_000,
  imports: 10_000,
  exports: 10_000,
  functions: 200_000,
  globals: 10_000,
  tables: 16,
  tableElements: 100_000,
  segments: 100_000,
  locals: 20_000,
  bodyBytes: 4 * 2 ** 20,
  nesting: 2_000,
  joins: 500_000_000,
};
