export interface Kernel {
  readonly name: string;
  readonly language: "C" | "Rust" | "AssemblyScript";
  /** The module beside this file. It exports `run: (i32) -> i32`, whose result is a checksum, and imports nothing. */
  readonly file: string;
  /** What `run` is given, so that a run takes some 20 to 60 ms once the engine has optimised it. */
  readonly n: number;
  readonly kind: "calls" | "hash" | "image" | "interpreter" | "json" | "matrix" | "memory" | "physics" | "regex" | "sort" | "text";
}

/** What metering is measured on: see `build.sh`. */
export const kernels: readonly Kernel[] = [
  { name: "sha256", language: "C", file: "sha256.c.wasm", n: 400, kind: "hash" },
  { name: "sort", language: "Rust", file: "sort.rs.wasm", n: 32, kind: "sort" },
  { name: "matrix", language: "C", file: "matrix.c.wasm", n: 60, kind: "matrix" },
  { name: "matrix", language: "AssemblyScript", file: "matrix.as.wasm", n: 60, kind: "matrix" },
  { name: "json", language: "Rust", file: "json.rs.wasm", n: 160, kind: "json" },
  { name: "regex", language: "C", file: "regex.c.wasm", n: 160, kind: "regex" },
  { name: "filter", language: "C", file: "filter.c.wasm", n: 140, kind: "image" },
  { name: "blur", language: "AssemblyScript", file: "blur.as.wasm", n: 80, kind: "image" },
  { name: "interpreter", language: "C", file: "interpreter.c.wasm", n: 12_000, kind: "interpreter" },
  { name: "fib", language: "Rust", file: "fib.rs.wasm", n: 36, kind: "calls" },
  { name: "fib", language: "AssemblyScript", file: "fib.as.wasm", n: 34, kind: "calls" },
  { name: "ackermann", language: "C", file: "ackermann.c.wasm", n: 4000, kind: "calls" },
  { name: "sieve", language: "C", file: "sieve.c.wasm", n: 60, kind: "memory" },
  { name: "lz77", language: "C", file: "lz77.c.wasm", n: 380, kind: "memory" },
  { name: "nbody", language: "C", file: "nbody.c.wasm", n: 390_000, kind: "physics" },
  { name: "wordcount", language: "Rust", file: "wordcount.rs.wasm", n: 150, kind: "text" },
  { name: "strings", language: "AssemblyScript", file: "strings.as.wasm", n: 160, kind: "text" },
];
