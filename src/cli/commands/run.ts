import type { ParsedArgs } from "citty";
import { isLimit, limitNames, parseResources, type Limit, type Resources } from "../../limits.ts";
import { securityProfiles, type SecurityProfile } from "../../profile.ts";
import { createRouter } from "../../router.ts";
import { createRuntime, type Result, type Runtime, type Task } from "../../runtime.ts";
import { memoryBlobStore, type BlobStore } from "../../store.ts";
import { toToolRuntimeError } from "../../errors.ts";
import { didYouMean } from "../../internal/nearest.ts";
import { openBackend, parseBackendName, type BackendName, type OpenOptions } from "../backends.ts";
import { defineCommand, valuesOf } from "../command.ts";
import { exitCodes, isUsageCode, UsageError } from "../exit-codes.ts";
import { printExplanations } from "../explain.ts";
import { findTool, toolsOption } from "../find-tool.ts";
import { saveFiles } from "../output-files.ts";
import { printError } from "../print-error.ts";
import { readEnv, readFiles, readInput } from "../read-inputs.ts";
import { interruptionOf } from "../signals.ts";
import { openTerminal, type Terminal } from "../terminal.ts";

const notes = `The tool is a name in the tools folder ("csv-aggregate", "csv-aggregate@1.2.0"), a folder with a tool.json
("./csv-aggregate") or a .wasm, .js or .mjs file. Its stdout goes to stdout and its stderr to stderr while it runs. Control characters
are shown as \\x1b; only stdout on a pipe or into a file gets the exact bytes.

Exit codes: the tool's own, 0 to 255 (134 after a trap, 128 + n after signal n); 125 where toolruntime refused the run
or a limit ended it; 2 for wrong usage; 130 after Ctrl-C. With --json an object with "error" tells 125 from the tool's.

Examples:
  toolruntime run ./markdown-to-html --input '{"markdown":"# Hello"}'
  toolruntime run csv-aggregate --tools ./tools --input @query.json --file data.csv=./sales.csv
  echo '{"text":"a"}' | toolruntime run ./hash.wasm --input - --json
  toolruntime run image-thumbnail --file image.jpg=./photo.jpg --out ./thumbnails
  toolruntime run ./my-script --backend unsafe --allow-unsafe --security dev --timeout 10s
  toolruntime run ./my-image --backend docker --input @text.json
  toolruntime run csv-aggregate --memory 256Mi --explain`;

// The parser wants an array that it could change.
const profileNames: SecurityProfile[] = [...securityProfiles];

const args = {
  tool: { type: "positional", description: "Name, folder, .wasm or .js file", required: true },
  input: { type: "string", description: "The input: JSON, @file, or - for stdin", valueHint: "json" },
  file: { type: "string", description: "Gives the tool a file; may be repeated", valueHint: "path=localfile" },
  out: { type: "string", description: "Where the files go that the tool hands back", valueHint: "folder" },
  env: { type: "string", description: "Sets an environment variable of the tool; may be repeated", valueHint: "NAME=value" },
  tools: { type: "string", description: toolsOption, valueHint: "folder" },
  security: { type: "enum", options: profileNames, default: "standard", description: "What must hold" },
  timeout: { type: "string", description: "Wall time, as 500ms or 30s", valueHint: "duration" },
  memory: { type: "string", description: "Memory, as 64Mi", valueHint: "quantity" },
  fuel: { type: "string", description: "What a module may enter, in units of about one instruction", valueHint: "units" },
  seed: {
    type: "string",
    description: "Makes the run deterministic: its random numbers come of this, its clock stands at --now",
    valueHint: "text",
  },
  now: {
    type: "string",
    description: "What a deterministic run's clock shows; 2000-01-01T00:00:00Z where none is named",
    valueHint: "time",
  },
  "best-effort": { type: "string", description: "A limit that may go unenforced; may be repeated", valueHint: "limit" },
  backend: { type: "string", description: "Only this backend", valueHint: "name" },
  "accept-engine": {
    type: "string",
    description: "Takes a container engine that is older than its known holes are closed; may be repeated",
    valueHint: "name@version",
  },
  "allow-unsafe": { type: "boolean", description: "Let host commands run as this user, without a sandbox; profile dev only" },
  explain: { type: "boolean", description: "Say which limit would be enforced by what, and run nothing" },
  json: { type: "boolean", description: "Print the whole result, or the error, as JSON" },
} as const;

export const run = defineCommand({
  meta: { name: "toolruntime run", description: "Runs one tool once" },
  args,
  notes,
  run: async ({ args: options, rawArgs }) => runTool(openTerminal(), options, rawArgs),
});

type Options = ParsedArgs<typeof args>;

async function runTool(terminal: Terminal, options: Options, rawArgs: readonly string[]): Promise<number> {
  const { backend: backendName, security } = options;
  const resources = resourcesOf(options);
  const names = backendsFor(backendName, options["allow-unsafe"] === true);
  try {
    const tool = await terminal.progress("Loading the tool", findTool(terminal, options.tool, options.tools));
    const task: Task = {
      tool,
      files: await readFiles(valuesOf(rawArgs, args, "file")),
      env: readEnv(valuesOf(rawArgs, args, "env")),
      resources,
      ...determinismOf(options),
      bestEffort: limitsOf(valuesOf(rawArgs, args, "best-effort")),
      ...inputOf(await readInput(options.input)),
    };
    const opening = {
      allowsUnsafe: options["allow-unsafe"] === true,
      acceptEngines: valuesOf(rawArgs, args, "accept-engine"),
      warn: (message: string) => terminal.note("toolruntime: ", message),
    };
    return await withRuntime(names, { security, ...opening }, (runtime, blobs) =>
      options.explain === true
        ? printExplanations(terminal, task, runtime, options)
        : execute({ terminal, runtime, blobs, task, folder: options.out, isJson: options.json === true }),
    );
  } catch (error) {
    if (error instanceof UsageError) throw error;
    return fail(terminal, error, options.json === true);
  }
}

/** Prints the error where the caller expects it, and gives the exit code. */
function fail(terminal: Terminal, error: unknown, isJson: boolean): number {
  const failure = toToolRuntimeError(error);
  if (isJson) terminal.json({ error: failure });
  else printError(terminal, failure);
  return isUsageCode(failure.code) ? exitCodes.usage : exitCodes.refused;
}

function inputOf(input: unknown): { input?: unknown } {
  return input === undefined ? {} : { input };
}

export function backendsFor(name: string | undefined, allowsUnsafe: boolean): readonly BackendName[] {
  if (name !== undefined) return [parseBackendName(name)];
  return allowsUnsafe ? ["wasm", "unsafe"] : ["wasm"];
}

/** Read here, so that a mistake is a matter of usage and nothing has been loaded yet. */
function resourcesOf({ timeout, memory, fuel }: Options): Resources {
  const resources: Resources = {
    ...(timeout === undefined ? {} : { timeout }),
    ...(memory === undefined ? {} : { memory }),
    ...(fuel === undefined ? {} : { fuel }),
  };
  parseResources(resources);
  return resources;
}

function determinismOf({ seed, now }: Options): Pick<Task, "deterministic"> {
  if (seed === undefined) {
    if (now !== undefined) throw new UsageError("--now is the clock of a deterministic run: give it a --seed too");
    return {};
  }
  return { deterministic: { seed, now: now ?? "2000-01-01T00:00:00Z" } };
}

function limitsOf(names: readonly string[]): Limit[] {
  return names.map((name) => {
    if (isLimit(name)) return name;
    throw new UsageError(`Unknown limit "${name}" in --best-effort${didYouMean(name, limitNames)}; there are ${limitNames.join(", ")}`);
  });
}

interface RuntimeChoice extends Omit<OpenOptions, "needsProcesses"> {
  readonly security: SecurityProfile;
}

/** Opens the backends, and closes them whatever happens. */
export async function withRuntime<T>(
  names: readonly BackendName[],
  { security, ...opening }: RuntimeChoice,
  use: (runtime: Runtime, blobs: BlobStore) => Promise<T>,
): Promise<T> {
  // One call's outputs must all stay until they are saved.
  const blobs = memoryBlobStore({ maxBlobBytes: 2 ** 31, maxTotalBytes: 2 ** 33 });
  const backends = await Promise.all(names.map((name) => openBackend(name, { ...opening, needsProcesses: security === "hardened" })));
  try {
    await using runtime = createRouter({ runtimes: backends.map((backend) => createRuntime({ backend, security, blobs })) });
    return await use(runtime, blobs);
  } finally {
    await Promise.all(backends.map((backend) => backend.close()));
  }
}

interface Execution {
  readonly terminal: Terminal;
  readonly runtime: Runtime;
  readonly blobs: BlobStore;
  readonly task: Task;
  /** Where output files go. */
  readonly folder: string | undefined;
  readonly isJson: boolean;
}

async function execute({ terminal, runtime, blobs, task, folder, isJson }: Execution): Promise<number> {
  const chosen = (await runtime.explain(task)).find(({ verdict }) => verdict === "chosen");
  const interruption = interruptionOf(terminal, chosen?.isolation === "wasm" ? "pipe" : "all");
  const running = runtime.execute(task, {
    signal: interruption.signal,
    onEvent: (event) => {
      if (event.type === "started" || (isJson && event.type === "stdout")) return undefined;
      return terminal.tool(event.type, event.bytes);
    },
  });
  try {
    const result = await terminal.progress("Running the tool", running);
    terminal.endTool();
    await handOver(terminal, result, blobs, folder);
    if (isJson) terminal.json(result);
    return result.exitCode;
  } catch (error) {
    terminal.endTool();
    const code = fail(terminal, error, isJson);
    return interruption.exitCode ?? code;
  } finally {
    interruption.dispose();
  }
}

/** Saves the tool's files, and says on stderr what the tool's own output does not. */
async function handOver(terminal: Terminal, { exit, files }: Result, blobs: BlobStore, folder: string | undefined): Promise<void> {
  if (exit.kind === "trapped") terminal.note("toolruntime: the tool trapped: ", exit.trap);
  if (exit.kind === "signalled") terminal.note("toolruntime: the tool was ended by ", exit.signal);
  if (files.length === 0) return;
  if (folder !== undefined) await saveFiles(files, blobs, folder);
  else terminal.note(`toolruntime: the tool handed back ${files.length} file(s), which are gone; --out <folder> keeps them`);
}
