/**
 * Builds the guests of these tests: `node test/wasm-component/guests/build.ts`. Needs clang-19, lld-19, wasi-libc and
 * libclang-rt-19-dev-wasm32 (Debian), and the repository's own jco.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "@bytecodealliance/jco";

const folder = fileURLToPath(new URL(".", import.meta.url));
const jcoCli = fileURLToPath(new URL("./jco.js", import.meta.resolve("@bytecodealliance/jco")));
const shim = import.meta.resolve("@bytecodealliance/preview2-shim/filesystem");
const temporary = mkdtempSync(join(tmpdir(), "guests-"));

function run(program: string, ...options: string[]): void {
  execFileSync(program, options, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
}

/** jco's own command reads files by a WASI that has none open until it is told (jco 1.35 with preview2-shim 0.26). */
const preload = join(temporary, "preload.mjs");
writeFileSync(preload, `import { _setPreopens } from ${JSON.stringify(shim)};\n_setPreopens({ "/": "/" });\n`);
const jco = (...options: string[]): void => run(process.execPath, "--import", preload, jcoCli, ...options);

try {
  const core = join(temporary, "core.wasm");
  const embedded = join(temporary, "embedded.wasm");
  run("clang-19", "--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry", "-Wl,--strip-all", "text.c", "-o", core);
  jco("embed", "--wit", join(folder, "tool.wit"), "-o", embedded, core);
  jco("new", embedded, "-o", join(folder, "text.wasm"));
  run("clang-19", "--target=wasm32-wasi", "-O2", "-Wl,--strip-all", "command.c", "-o", core);
  jco("new", core, "--wasi-command", "-o", join(folder, "command.wasm"));
  for (const name of ["names", "proto", "two-memories", "memory-twice", "loops", "loop-start"]) {
    writeFileSync(join(folder, `${name}.wasm`), await parse(readFileSync(join(folder, `${name}.wat`), "utf8")));
  }
  // A snapshot of an engine differs at each build, so it is made only where it is asked for.
  if (process.argv.includes("--script")) {
    jco(
      "componentize",
      join(folder, "script.js"),
      "-w",
      join(folder, "tool.wit"),
      "-n",
      "tool",
      "--backend",
      "qjs",
      "--backend-qjs-disable-async",
      "-o",
      join(folder, "script.wasm"),
    );
  }
} finally {
  rmSync(temporary, { recursive: true });
}
