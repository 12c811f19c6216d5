/** How each tool's module is made. A recipe is data: it counts among the sources that a module is checked against. */
export type Recipe = CRecipe | RustRecipe | AssemblyScriptRecipe | ComponentRecipe;

interface Common {
  /** Source files of the tool's folder, by path or by folder, and with `../shared/` those that several tools use. */
  readonly sources: readonly string[];
}

export interface CRecipe extends Common {
  readonly kind: "c";
  readonly units: readonly CUnit[];
  /** Headers of Debian packages, copied apart: all of /usr/include would bring the host's libc. */
  readonly headers?: readonly { readonly from: string; readonly to: string; readonly package: string }[];
  /** A package of the npm registry whose files are compiled in. */
  readonly npm?: { readonly package: string; readonly integrity: string; readonly files: readonly string[] };
  readonly stackBytes: number;
}

export interface CUnit {
  readonly file: string;
  readonly flags: readonly string[];
  /** Where the file is: the tool's folder, or what `npm` brought. */
  readonly from?: "npm";
}

export interface RustRecipe extends Common {
  readonly kind: "rust";
}

export interface AssemblyScriptRecipe extends Common {
  readonly kind: "assemblyscript";
  readonly entry: string;
  readonly flags: readonly string[];
}

export interface ComponentRecipe extends Common {
  readonly kind: "component";
  readonly entry: string;
  readonly world: string;
}

/** What every tool of a kind is built with, beside its recipe's own flags. Counts among the sources too. */
export const flags = {
  c: {
    compile: ["--target=wasm32-wasi"],
    // With the stack first, its overflow leaves the memory and traps; else it would overwrite the data below it.
    link: ["--target=wasm32-wasi", "-Wl,--strip-all", "-Wl,--stack-first"],
  },
  rust: { target: "wasm32-wasi" },
  assemblyscript: {},
  component: {
    bundle: ["--bundle", "--format=esm", "--target=es2022", "--minify"],
    // Without asynchronous functions and WASI imports: the tool is a pure function.
    engine: { sync: true, stubWasi: true, optSize: true },
  },
} as const;

/** Our own C keeps to these; what comes from elsewhere is compiled without its warnings. */
const strict = ["-std=gnu17", "-Wall", "-Wextra", "-Wconversion", "-Werror"];
const rust: RustRecipe = { kind: "rust", sources: ["Cargo.toml", "Cargo.lock", "src"] };

const sqliteOptions = [
  "-DSQLITE_OS_OTHER=1",
  "-DSQLITE_THREADSAFE=0",
  "-DSQLITE_TEMP_STORE=3",
  "-DSQLITE_DQS=0",
  "-DSQLITE_DEFAULT_MEMSTATUS=0",
  "-DSQLITE_OMIT_LOAD_EXTENSION",
  "-DSQLITE_OMIT_SHARED_CACHE",
  "-DSQLITE_OMIT_DEPRECATED",
  "-DSQLITE_OMIT_WAL",
  "-DSQLITE_ENABLE_MATH_FUNCTIONS",
  "-DSQLITE_ENABLE_FTS5",
  "-DSQLITE_ENABLE_RTREE",
];

const stbHeaders = ["stb_image.h", "stb_image_resize.h", "stb_image_write.h"];

export const recipes: Readonly<Record<string, Recipe>> = {
  "csv-aggregate": rust,
  "json-query": rust,
  "markdown-to-html": rust,
  "text-diff": rust,
  "image-thumbnail": {
    kind: "c",
    sources: ["src"],
    units: [
      { file: "src/main.c", flags: ["-O2", ...strict] },
      { file: "src/input.c", flags: ["-O2", ...strict] },
      { file: "src/orientation.c", flags: ["-O2", ...strict] },
      { file: "src/stb.c", flags: ["-O2", "-std=gnu17"] },
    ],
    headers: [
      ...stbHeaders.map((name) => ({ from: `/usr/include/stb/${name}`, to: `stb/${name}`, package: "libstb-dev" })),
      { from: "/usr/include/jsmn.h", to: "jsmn.h", package: "libjsmn-dev" },
    ],
    stackBytes: 262_144,
  },
  "sqlite-query": {
    kind: "c",
    sources: ["src"],
    units: [
      ...["main", "input", "json", "read_only_vfs"].map((name) => ({ file: `src/${name}.c`, flags: ["-Os", ...strict] })),
      { file: "sqlite3.c", from: "npm", flags: ["-Os", "-std=gnu17", ...sqliteOptions] },
    ],
    // better-sqlite3 carries SQLite's amalgamation as its authors publish it. Nothing else of it is used.
    npm: {
      package: "better-sqlite3@12.11.1",
      integrity: "sha512-dq9AtApgg5PGFtBzPFSBl3HZQjHok5gaQCM6zh2Yk0aSmDCs1CbnVI8/HgASQkNKsWFpseIO9beg5xxpYhbIfA==",
      files: ["deps/sqlite3/sqlite3.c", "deps/sqlite3/sqlite3.h"],
    },
    stackBytes: 1_048_576,
  },
  hash: {
    kind: "assemblyscript",
    sources: ["assembly", "../shared/assembly"],
    entry: "hash/assembly/index.ts",
    flags: ["-O3", "--runtime", "stub", "--exportStart", "_start", "--use", "abort=hash/assembly/wasi/onAbort"],
  },
  "text-stats": {
    kind: "assemblyscript",
    sources: ["assembly", "../shared/assembly"],
    entry: "text-stats/assembly/index.ts",
    flags: ["-O3", "--runtime", "stub", "--use", "abort=text-stats/assembly/abort/onAbort"],
  },
  "html-to-text": {
    kind: "component",
    sources: ["package.json", "package-lock.json", "src", "wit"],
    entry: "src/tool.js",
    world: "tool",
  },
};
