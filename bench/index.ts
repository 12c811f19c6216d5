import { parseArgs } from "node:util";
import { benchAbuse } from "./abuse.ts";
import { benchEdge } from "./edge.ts";
import { benchExecute } from "./execute.ts";
import { benchHttp } from "./http.ts";
import { toText, type BenchTable, type Effort } from "./measure.ts";
import { engines, type Engine } from "./meter-engines.ts";
import { benchMeter, type Report } from "./meter.ts";
import { benchRemote } from "./remote.ts";

interface Options extends Effort {
  readonly engines: readonly Engine[];
}

type Bench = (options: Options) => Promise<Report[]>;

function ofTables(bench: (effort: Effort) => Promise<BenchTable[]>): Bench {
  return async (effort) => (await bench(effort)).map((table) => ({ data: table, text: toText(table) }));
}

const benches: Readonly<Record<string, Bench>> = {
  execute: ofTables(benchExecute),
  http: ofTables(benchHttp),
  meter: benchMeter,
  abuse: benchAbuse,
  edge: ofTables(benchEdge),
  remote: ofTables(benchRemote),
};

const help = `Usage: npm run bench -- [${Object.keys(benches).join(" | ")}] [options]

Measures toolruntime against a floor and a peer in one run: medians of rounds taken in turn, ratios round by round.

  --rounds N   rounds that count (default 7)
  --calls N    calls a round (default 2000); not for meter
  --engine E   ${engines.join(", ")} or all (default node); for meter
  --json       the tables as JSON
  --help       this text`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "7" },
    calls: { type: "string", default: "2000" },
    engine: { type: "string", default: "node" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const unknown = positionals.find((name) => !Object.hasOwn(benches, name));
const chosenEngines = engines.filter((engine) => values.engine === "all" || values.engine === engine);
if (values.help) {
  console.log(help);
} else if (unknown !== undefined) {
  console.error(`Cannot run the bench "${unknown}"\n\n${help}`);
  process.exitCode = 2;
} else if (chosenEngines.length === 0) {
  console.error(`Cannot run a bench on "${values.engine}"\n\n${help}`);
  process.exitCode = 2;
} else {
  const options = { rounds: Number(values.rounds), calls: Number(values.calls), engines: chosenEngines };
  for (const [name, bench] of Object.entries(benches)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    for (const { data, text } of await bench(options)) console.log(values.json ? JSON.stringify(data) : text);
  }
}
