import { parseArgs } from "node:util";
import { soakFleet } from "./fleet.ts";
import { soakKills } from "./kill-loop.ts";
import { soakModules } from "./modules.ts";
import { soakSequential } from "./sequential.ts";
import { soakService } from "./service.ts";

const help = `Usage: npm run soak -- [sequential | service | modules | fleet | kills] [options]

The long runs, by hand. Prints a report as JSON; exit code 1 where it does not hold.

  --executions N   of the sequential run (default 1000000)
  --callers N      of the service run (default 200)
  --seconds N      of the service run, and of the fleet under load (default 60)
  --modules N      of the modules run: generated and mutated modules through ingest (default 100000)
  --seed N         of the modules run: the first one's (default another one each time)
  --inputs N       of each batch of the fleet run (default 10000)
  --runs N         of the kills run, which needs the daemons of scripts/backends (default 1000)
  --kill-every N   how many of them come between two kills of the services (default 100)
  --help           this text`;

/** Growth of resident memory over a million executions that still counts as flat. */
const flatMiB = 16;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    executions: { type: "string", default: "1000000" },
    callers: { type: "string", default: "200" },
    seconds: { type: "string", default: "60" },
    modules: { type: "string", default: "100000" },
    seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 31)}` },
    inputs: { type: "string", default: "10000" },
    runs: { type: "string", default: "1000" },
    "kill-every": { type: "string", default: "100" },
    help: { type: "boolean", default: false },
  },
});
const wants = (name: string): boolean => positionals.length === 0 || positionals.includes(name);

if (values.help) {
  console.log(help);
} else {
  if (wants("sequential")) {
    const report = await soakSequential(Number(values.executions), (done, residentMiB) => {
      if (done % 100_000 === 0) console.error(`${done} executions, ${residentMiB.toFixed(0)} MiB resident`);
    });
    console.log(JSON.stringify(report, null, 2));
    if (report.growthMiBPerMillion > flatMiB) process.exitCode = 1;
  }
  if (wants("service")) {
    const report = await soakService({ callers: Number(values.callers), seconds: Number(values.seconds) });
    console.log(JSON.stringify(report, null, 2));
    const wrong = Object.values(report.calls).some((call) => call.wrong > 0);
    if (wrong || report.serverErrors > 0 || report.leftProcesses > 0) process.exitCode = 1;
  }
  if (wants("modules")) {
    const report = await soakModules(Number(values.modules), Number(values.seed), (done, next) => {
      if (done % 10_000 === 0) console.error(`${done} modules, the next is of seed ${next}`);
    });
    console.log(JSON.stringify(report, null, 2));
    if (report.wrong.length > 0) process.exitCode = 1;
  }
  if (wants("kills")) {
    const options = { runs: Number(values.runs), killEvery: Number(values["kill-every"]) };
    const report = await soakKills(options, (line) => console.error(line));
    console.log(JSON.stringify(report, null, 2));
    if (!report.holds) process.exitCode = 1;
  }
  if (wants("fleet")) {
    const report = await soakFleet({ seconds: Number(values.seconds), inputs: Number(values.inputs) }, (line) => console.error(line));
    console.log(JSON.stringify(report, null, 2));
    if (!report.holds) process.exitCode = 1;
  }
}
