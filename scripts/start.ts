/** `npm start`: the sample tools, served on this machine, and one real call of one of them. */
import { enableCompileCache } from "node:module";

// Before anything else is loaded: a second start then parses nothing again.
enableCompileCache();
const [{ runProgram }, { demo }] = await Promise.all([import("../src/cli/program.ts"), import("./demo.ts")]);
await runProgram(demo, process.argv.slice(2));
