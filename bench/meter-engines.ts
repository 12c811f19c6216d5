import { fileURLToPath } from "node:url";
import { bundle, openWorker, requireBinary, runScript, type Engine } from "./engines.ts";
import { measure, openJob, type Figures, type Job, type MeasureOptions } from "./meter-runner.ts";

export { engines, type Engine } from "./engines.ts";

export interface EngineFigures {
  readonly engine: Engine;
  readonly version: string;
  readonly figures: readonly Figures[];
}

interface Task {
  readonly jobs: readonly Job[];
  readonly rounds: number;
}

/** One module of plain JavaScript with the runner and the kernels in it. */
function program(jobs: readonly Job[], main: string): Promise<string> {
  const contents = `import { ${measure.name}, ${openJob.name} } from "./meter-runner.ts";
    const open = ${JSON.stringify(jobs)}.map(${openJob.name});
    ${main}`;
  return bundle(contents, fileURLToPath(new URL(".", import.meta.url)));
}

/** Node, Bun and Deno: a script that prints its figures. */
async function measureInScript(engine: Exclude<Engine, "workerd">, { jobs, rounds }: Task): Promise<Figures[]> {
  const options: MeasureOptions = { rounds, runs: 1 };
  const main = `console.log(JSON.stringify(open.map((job) => ${measure.name}(job, ${JSON.stringify(options)}))));`;
  return JSON.parse(await runScript(engine, await program(jobs, main)));
}

/** workerd: a worker that measures the kernel whose index it is asked for. */
async function measureInWorker({ jobs, rounds }: Task): Promise<Figures[]> {
  // Its clock moves in steps of 1 ms.
  const options: MeasureOptions = { rounds, runs: 4 };
  const main = `export default {
    fetch(request) {
      try {
        return Response.json(${measure.name}(open[Number(new URL(request.url).pathname.slice(1))], ${JSON.stringify(options)}));
      } catch (error) {
        return new Response(String(error), { status: 500 });
      }
    },
  };`;
  await using worker = await openWorker(await program(jobs, main));
  const figures: Figures[] = [];
  for (const index of jobs.keys()) {
    const response = await fetch(`${worker.url}/${index}`);
    if (!response.ok) throw new Error(await response.text());
    figures.push((await response.json()) as Figures);
  }
  return figures;
}

/** Measures the kernels on an engine, in a process of its own. */
export async function runOn(engine: Engine, task: Task): Promise<EngineFigures> {
  const { version } = requireBinary(engine);
  return { engine, version, figures: await (engine === "workerd" ? measureInWorker(task) : measureInScript(engine, task)) };
}
