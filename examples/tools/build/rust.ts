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

/** Compiles for WASI preview 1 by Debian's cargo and rustc, from the locked crates. */
export async function buildRust(name: string, folder: string, recipe: RustRecipe): Promise<Build> {
  await require([
    { path: cargo, package: "cargo" },
    { path: rustc, package: "rustc" },
    { path: "/usr/lib/rustlib/wasm32-wasi/lib", package: "libstd-rust-dev-wasm32" },
    // Debian's rlibs hold metadata that newer linkers refuse.
    { path: "/usr/bin/wasm-ld-14", package: "lld-14" },
  ]);
  const digest = await sourceDigest(folder, recipe);
  const work = await scratch(name, digest.slice(7, 23));
  const vendor = join(work, "vendor");
  const env = {
    RUSTC: rustc,
    CARGO_TARGET_DIR: join(work, "target"),
    CARGO_HOME: await scratch("cargo-home"),
    CARGO_TARGET_WASM32_WASI_LINKER: "wasm-ld-14",
    CARGO_ENCODED_RUSTFLAGS: [`--remap-path-prefix=${folder}=/tool`, `--remap-path-prefix=${vendor}=/vendor`].join("\x1f"),
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
  await run(cargo, ["build", "--release", "--locked", "--offline", "--target", flags.rust.target, ...fromVendor], { cwd: folder, env });
  const wasm = await readFile(join(work, "target", flags.rust.target, "release", `${name}.wasm`));
  return { wasm, toolchain: await debianVersions(packages) };
}
