import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { sourceDigest } from "./sources.ts";
import { flags, type RustRecipe } from "./recipes.ts";
import { debianVersions, require, run, scratch } from "./toolchain.ts";
import type { Build } from "./kinds.ts";

// By their full paths: a rustup on the PATH would be another version.
const cargo = "/usr/bin/cargo";
const rustc = "/usr/bin/rustc";
const packages = ["cargo", "rustc", "libstd-rust-dev-wasm32", "lld-14"];

const compilers = [
  { path: cargo, package: "cargo" },
  { path: rustc, package: "rustc" },
];

/** Compiles for WASI preview 1 by Debian's cargo and rustc, from the locked crates. */
export async function buildRust(name: string, folder: string, recipe: RustRecipe): Promise<Build> {
  await require([
    ...compilers,
    { path: "/usr/lib/rustlib/wasm32-wasi/lib", package: "libstd-rust-dev-wasm32" },
    // Debian's rlibs hold metadata that newer linkers refuse.
    { path: "/usr/bin/wasm-ld-14", package: "lld-14" },
  ]);
  const { target } = flags.rust;
  const work = await compile(name, { folder, recipe, target, env: { CARGO_TARGET_WASM32_WASI_LINKER: "wasm-ld-14" }, codegen: [] });
  return { wasm: await readFile(join(work, "target", target, "release", `${name}.wasm`)), toolchain: await debianVersions(packages) };
}

/** Compiles the same crates for this machine, as one file that needs no library. Gives its path. */
export async function buildNativeRust(name: string, folder: string, recipe: RustRecipe): Promise<string> {
  await require(compilers);
  const target = `${process.arch === "arm64" ? "aarch64" : "x86_64"}-unknown-linux-gnu`;
  const work = await compile(name, { folder, recipe, target, env: {}, codegen: ["-Ctarget-feature=+crt-static"] });
  return join(work, "target", target, "release", name);
}

interface Target {
  readonly folder: string;
  readonly recipe: RustRecipe;
  readonly target: string;
  readonly env: Readonly<Record<string, string>>;
  readonly codegen: readonly string[];
}

/** Gives the folder with the result. */
async function compile(name: string, { folder, recipe, target, env: more, codegen }: Target): Promise<string> {
  const digest = await sourceDigest(folder, recipe);
  const work = await scratch(name, digest.slice(7, 23));
  const vendor = join(work, "vendor");
  const env = {
    RUSTC: rustc,
    CARGO_TARGET_DIR: join(work, "target"),
    CARGO_HOME: await scratch("cargo-home"),
    ...more,
    CARGO_ENCODED_RUSTFLAGS: [`--remap-path-prefix=${folder}=/tool`, `--remap-path-prefix=${vendor}=/vendor`, ...codegen].join("\x1f"),
  };
  // Debian's cargo knows the registry's plain HTTP index only as an unstable option, which it takes with
  // RUSTC_BOOTSTRAP; the compiling below runs without it.
  const fetchEnv = { ...env, RUSTC_BOOTSTRAP: "1" };
  await run(cargo, ["-Z", "sparse-registry", "vendor", "--locked", vendor], { cwd: folder, env: fetchEnv });
  const fromVendor = [
    "--config",
    'source.crates-io.replace-with="vendor"',
    "--config",
    `source.vendor.directory=${JSON.stringify(vendor)}`,
  ];
  await run(cargo, ["build", "--release", "--locked", "--offline", "--target", target, ...fromVendor], { cwd: folder, env });
  return work;
}
