// Builds the package into dist: the sources by tsc, and beside them the files that they read at run time.
import { spawnSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { writeIsolateBundle } from "./isolate-bundle.ts";

rmSync("dist", { recursive: true, force: true });
const { status } = spawnSync("tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);
for (const guest of ["probe.mjs", "probe.wasm"]) cpSync(`src/conformance/guests/${guest}`, `dist/conformance/guests/${guest}`);
cpSync("src/conformance/abuse/native/attacks", "dist/conformance/abuse/native/attacks", { recursive: true });
cpSync("src/wasm/loader/isolate-bundle.d.ts", "dist/wasm/loader/isolate-bundle.d.ts");
await writeIsolateBundle(new URL("../dist/wasm/loader/", import.meta.url));
