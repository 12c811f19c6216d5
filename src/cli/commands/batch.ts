import type { ParsedArgs } from "citty";
import { readFile } from "node:fs/promises";
import { createClient } from "../../client.ts";
import { ToolRuntimeError, toToolRuntimeError } from "../../errors.ts";
import { mayRunTwice } from "../../internal/batch.ts";
import { parseQuantity, parseResources, type Resources } from "../../limits.ts";
import { securityProfiles, type SecurityProfile } from "../../profile.ts";
import { createRouter, type BatchBudget } from "../../router.ts";
import { answeredIn, openInputs, type InputLines } from "../batch/inputs.ts";
import { Report, type Answer } from "../batch/report.ts";
import { defineCommand, valuesOf } from "../command.ts";
import { exitCodes, isUsageCode, UsageError } from "../exit-codes.ts";
import { findTool, toolsOption } from "../find-tool.ts";
import { printError } from "../print-error.ts";
import { readEnv } from "../read-inputs.ts";
import { interruptionOf, type Interruption } from "../signals.ts";
import { shellWord } from "../shell-word.ts";
import { openTerminal, styled, type Terminal } from "../terminal.ts";
import { backendsFor, withRuntime } from "./run.ts";

const notes = `The inputs are lines of JSON, one for each run. Each gets exactly one line on stdout, as it is ready:
{"index":0,"status":"result","result":{…}} or {"index":0,"status":"error","error":{…}}. A summary goes to stderr, and on a
terminal a bar while it goes on. --timeout, --fuel and --failures are one budget for the whole batch: when one is used up,
each input that is left is answered with ERR_BUDGET_EXHAUSTED.

With --url the tool is one of that service, and the batch goes on by itself where the connection is lost. Ctrl-C keeps what
there is. To go on later: here --resume with the file that the answers went to, with --url --resume with the key that was shown.

Exit codes: 0 every input ended well; 1 some failed, or the budget was used up; 125 the batch was refused or could not go
on; 2 wrong usage; 130 after Ctrl-C.

Examples:
  toolruntime batch hash --inputs texts.ndjson > answers.ndjson
  toolruntime batch hash --inputs texts.ndjson --resume answers.ndjson >> answers.ndjson
  seq 5 | sed 's/.*/{"text":"&"}/' | toolruntime batch hash --inputs - --concurrency 2
  toolruntime batch hash --inputs texts.ndjson --timeout 10m --failures 20
  toolruntime batch hash --inputs texts.ndjson --url https://tools.example --token-file ./token`;

// The parser wants an array that it could change.
const profileNames: SecurityProfile[] = [...securityProfiles];

const args = {
  tool: { type: "positional", description: "Name, folder, .wasm or .js file; with --url a name there", required: true },
  inputs: { type: "string", description: "The file of inputs, or - for stdin", valueHint: "file", required: true },
  concurrency: { type: "string", description: "How many run at once; 8 where nothing is named", valueHint: "number" },
  timeout: { type: "string", description: "For the whole batch, as 30s or 10m", valueHint: "duration" },
  fuel: { type: "string", description: "For the whole batch, in units of about one instruction", valueHint: "units" },
  failures: { type: "string", description: "So many failed inputs end the batch", valueHint: "number" },
  ordered: { type: "boolean", description: "Print the answers in the order of the inputs" },
  resume: { type: "string", description: "Go on from the answers in this file; with --url: under this key", valueHint: "file|key" },
  url: { type: "string", description: "Run it on this service", valueHint: "url" },
  "token-file": { type: "string", description: "A file that holds the service's bearer token", valueHint: "file" },
  "run-timeout": { type: "string", description: "Wall time of each run, as 500ms or 30s", valueHint: "duration" },
  memory: { type: "string", description: "Memory of each run, as 64Mi", valueHint: "quantity" },
  env: { type: "string", description: "Sets an environment variable of the tool; may be repeated", valueHint: "NAME=value" },
  tools: { type: "string", description: toolsOption, valueHint: "folder" },
  security: { type: "enum", options: profileNames, description: "What must hold; standard where nothing is named" },
  backend: { type: "string", description: "Only this backend", valueHint: "name" },
  "accept-engine": {
    type: "string",
    description: "Takes a container engine that is older than its known holes are closed; may be repeated",
    valueHint: "name@version",
  },
  "allow-unsafe": { type: "boolean", description: "Let host commands run as this user, without a sandbox; profile dev only" },
} as const;

type Options = ParsedArgs<typeof args>;

export const batch = defineCommand({
  meta: { name: "toolruntime batch", description: "Runs one tool over many inputs" },
  args,
  notes,
  run: async ({ args: options, rawArgs }) => runBatch(openTerminal(), options, rawArgs),
});

/** What both ways of running a batch need. */
interface Batch {
  readonly terminal: Terminal;
  readonly options: Options;
  readonly rawArgs: readonly string[];
  readonly inputs: InputLines;
  readonly concurrency: number;
  readonly budget: BatchBudget;
  readonly resources: Resources;
  readonly env: Readonly<Record<string, string>>;
}

async function runBatch(terminal: Terminal, options: Options, rawArgs: readonly string[]): Promise<number> {
  const work = {
    terminal,
    options,
    rawArgs,
    concurrency: options.concurrency === undefined ? 8 : wholeNumber("concurrency", options.concurrency),
    budget: budgetOf(options),
    resources: resourcesOf(options),
    env: readEnv(valuesOf(rawArgs, args, "env")),
  };
  assertPlace(options);
  const inputs = await openInputs(options.inputs);
  try {
    return await (options.url === undefined ? runHere({ ...work, inputs }) : runThere({ ...work, inputs }, options.url));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const failure = toToolRuntimeError(error);
    printError(terminal, failure);
    return isUsageCode(failure.code) ? exitCodes.usage : exitCodes.refused;
  }
}

/** Options of the other place would be passed over in silence. */
function assertPlace(options: Options): void {
  const here = ["tools", "backend", "accept-engine", "allow-unsafe"] as const;
  const strange = options.url === undefined ? ([] as const) : here.filter((name) => options[name] !== undefined && options[name] !== false);
  if (strange.length > 0) throw new UsageError(`--${strange[0]} is for batches that run here; with --url the service has its own`);
  if (options.url === undefined && options["token-file"] !== undefined)
    throw new UsageError("--token-file is for a service: it needs --url");
}

function wholeNumber(name: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`Cannot take ${JSON.stringify(text)} as --${name}: it takes a whole number from 1`);
}

function budgetOf({ timeout, fuel, failures }: Options): BatchBudget {
  return {
    ...(timeout === undefined ? {} : { timeout: parseQuantity("timeout", timeout) }),
    ...(fuel === undefined ? {} : { fuel: parseQuantity("fuel", fuel) }),
    ...(failures === undefined ? {} : { failures: wholeNumber("failures", failures) }),
  };
}

function resourcesOf({ "run-timeout": timeout, memory }: Options): Resources {
  const resources = { ...(timeout === undefined ? {} : { timeout }), ...(memory === undefined ? {} : { memory }) };
  parseResources(resources);
  return resources;
}

async function runHere(work: Batch): Promise<number> {
  const { terminal, options, rawArgs, inputs, concurrency, budget, resources, env } = work;
  const { security = "standard" } = options;
  const tool = await terminal.progress("Loading the tool", findTool(terminal, options.tool, options.tools));
  const answered = options.resume === undefined ? new Set<number>() : await answeredIn(options.resume, mayRunTwice(tool));
  const opening = {
    allowsUnsafe: options["allow-unsafe"] === true,
    acceptEngines: valuesOf(rawArgs, args, "accept-engine"),
    warn: (message: string) => terminal.note("toolruntime: ", message),
  };
  const names = backendsFor(options.backend, options["allow-unsafe"] === true);
  return withRuntime(names, { security, ...opening }, async (runtime) => {
    const interruption = interruptionOf(terminal, "all");
    /** The index in the file of each input that is out, by its place among those that run. */
    const indexes = new Map<number, number>();
    const todo = async function* (): AsyncGenerator<unknown> {
      let place = 0;
      // What runs is let end: the first signal only ends the inputs.
      for await (const { index, input } of inputs.read(interruption.signal)) {
        if (answered.has(index)) continue;
        indexes.set(place++, index);
        yield input;
      }
    };
    const task = { resources, env };
    const router = createRouter({ runtimes: [runtime] });
    const answers = async function* (): AsyncGenerator<Answer> {
      for await (const answer of router.map(tool, todo(), { concurrency, budget, ordered: options.ordered === true, task })) {
        const index = indexes.get(answer.index) ?? answer.index;
        indexes.delete(answer.index);
        yield { ...answer, index };
      }
    };
    const total = inputs.total === undefined ? undefined : inputs.total - answered.size;
    const how = options.resume === undefined ? "<the file that stdout went to>" : shellWord(options.resume);
    const stopped = "what runs may end; a second signal ends it at once";
    return take(work, { answers: answers(), total, interruption, how, stopped });
  });
}

async function runThere(work: Batch, url: string): Promise<number> {
  const { terminal, options, inputs, concurrency, budget, resources, env } = work;
  const token = await readToken(options["token-file"]);
  const client = createClient({ url, ...(token === undefined ? {} : { token }) });
  const key = options.resume ?? crypto.randomUUID();
  const interruption = interruptionOf(terminal, "all");
  const source = async function* (): AsyncGenerator<unknown> {
    for await (const { input } of inputs.read(interruption.signal)) yield input;
  };
  const sent = {
    tool: options.tool,
    inputs: source(),
    concurrency,
    budget,
    ordered: options.ordered === true,
    resources,
    env,
    ...(options.security === undefined ? {} : { security: options.security }),
  };
  const answers = client.batch(sent, { idempotencyKey: key, signal: interruption.signal });
  return take(work, { answers, total: inputs.total, interruption, how: shellWord(key), stopped: "what runs at the service may end there" });
}

async function readToken(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return (await readFile(file, "utf8")).trim();
  } catch {
    throw new UsageError(`Cannot read the token from "${file}"`);
  }
}

interface Taking {
  readonly answers: AsyncIterable<Answer>;
  readonly total: number | undefined;
  readonly interruption: Interruption;
  /** What `--resume` takes to go on. */
  readonly how: string;
  /** What becomes of what runs, after the first signal. */
  readonly stopped: string;
}

/** Prints the answers as they come, then the summary, and how to go on where not all are there. */
async function take({ terminal, rawArgs }: Batch, { answers, total, interruption, how, stopped }: Taking): Promise<number> {
  const report = new Report(terminal, total);
  const say = (): void => terminal.note(`toolruntime: ${stopped}`);
  interruption.signal.addEventListener("abort", say, { once: true });
  let failure: ToolRuntimeError | undefined;
  let isSpent = false;
  try {
    for await (const answer of answers) {
      // Nobody is left to read it.
      if (terminal.stdoutGone.aborted) break;
      isSpent ||= answer.status === "error" && answer.error.code === "ERR_BUDGET_EXHAUSTED";
      await report.add(answer);
    }
  } catch (error) {
    if (interruption.exitCode === undefined) failure = toToolRuntimeError(error);
  } finally {
    interruption.signal.removeEventListener("abort", say);
    interruption.dispose();
    report.close();
  }
  if (failure !== undefined) printError(terminal, failure);
  if (failure !== undefined || isSpent || interruption.exitCode !== undefined) {
    const words = withoutResume(rawArgs).map(shellWord);
    terminal.note(styled("bold", "  next: "), `toolruntime batch ${words.join(" ")} --resume ${how}`);
  }
  if (failure !== undefined) return isUsageCode(failure.code) ? exitCodes.usage : exitCodes.refused;
  return interruption.exitCode ?? (report.failed > 0 ? exitCodes.failed : exitCodes.ok);
}

function withoutResume(rawArgs: readonly string[]): string[] {
  const at = rawArgs.indexOf("--resume");
  const rest = at === -1 ? [...rawArgs] : rawArgs.toSpliced(at, 2);
  return rest.filter((word) => !word.startsWith("--resume="));
}
