import { parseArgs } from "node:util";
import { benchExecute } from "./execute.ts";
import { benchHttp } from "./http.ts";
import { toText, type BenchTable, type Effort } from "./measure.ts";

const benches: Readonly<Record<string, (effort: Effort) => Promise<BenchTable[]>>> = { execute: benchExecute, http: benchHttp };

const help = `Usage: npm run bench -- [${Object.keys(benches).join(" | ")}] [options]

Measures toolruntime against a floor and a peer in one run: medians of rounds taken in turn, ratios round by round.

  --rounds N   rounds that count (default 7)
  --calls N    calls a round (default 2000)
  --json       the tables as JSON
  --help       this text`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "7" },
    calls: { type: "string", default: "2000" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const unknown = positionals.find((name) => !Object.hasOwn(benches, name));
if (values.help) {
  console.log(help);
} else if (unknown !== undefined) {
  console.error(`Cannot run the bench "${unknown}"\n\n${help}`);
  process.exitCode = 2;
} else {
  const effort = { rounds: Number(values.rounds), calls: Number(values.calls) };
  for (const [name, bench] of Object.entries(benches)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    for (const table of await bench(effort)) console.log(values.json ? JSON.stringify(table) : toText(table));
  }
}
