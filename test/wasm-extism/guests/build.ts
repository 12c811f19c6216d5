/**
 * Builds the guests of these tests: `node test/wasm-extism/guests/build.ts`. Needs wat2wasm (Debian's wabt) and the
 * repository's own AssemblyScript.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../../", import.meta.url));

for (const name of ["calls", "catcher", "start", "wasi"]) {
  execFileSync("wat2wasm", ["--enable-exceptions", `${name}.wat`, "-o", `${name}.wasm`], { cwd: folder, stdio: "inherit" });
}
// Under its own ending, or TypeScript's tools would take it for TypeScript.
const source = "vowels.as.ts";
copyFileSync(join(folder, "vowels.as"), join(folder, source));
try {
  const asc = join(root, "node_modules/assemblyscript/bin/asc.js");
  const path = "test/wasm-extism/guests/vowels.as";
  execFileSync(process.execPath, [asc, `${path}.ts`, "-O", "--outFile", join(folder, "vowels.wasm"), "--use", `abort=${path}/abort_with`], {
    cwd: root,
    stdio: "inherit",
  });
} finally {
  rmSync(join(folder, source));
}
