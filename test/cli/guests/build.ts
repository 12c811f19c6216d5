/** Builds the guests of these tests: `node test/cli/guests/build.ts`. Needs wat2wasm (Debian's wabt). */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));

for (const name of ["echo", "trap", "exit", "spin"]) {
  execFileSync("wat2wasm", [`${name}.wat`, "-o", `${name}.wasm`], { cwd: folder, stdio: "inherit" });
}
