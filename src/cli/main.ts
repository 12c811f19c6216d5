import { enableCompileCache } from "node:module";

// Before anything else is loaded: a second start then parses nothing again.
enableCompileCache();
const [{ runProgram }, { root }] = await Promise.all([import("./program.ts"), import("./root.ts")]);
await runProgram(root, process.argv.slice(2));
