import type { Exit } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { LimitReading } from "../../limits.ts";
import type { CompiledArtifact } from "../../tool.ts";
import type { ReadyParts } from "../abi/runner.ts";
import type { ReadyArtifact, WasmRun } from "../artifact.ts";
import { FactReader } from "../facts.ts";
import { isCapped, type Lease, type MemoryPool } from "../memory-pool.ts";
import { trapOfInstance } from "../traps.ts";
import { singleThreaded } from "../wasi-command.ts";
import { AbiTrap } from "../wasi/signals.ts";
import { OutOfMemory, promiseStates, QuickJsClient, type Address } from "./client.ts";
import { Aborted, JavaScriptHost } from "./host.ts";
import type { QuickJsImage, QuickJsImages } from "./image.ts";
import { quickJsModule } from "./make.ts";
import { quickJsMaxPages, quickJsMinPages } from "./quickjs.ts";
import type { WasmReport } from "../run-types.ts";

const memoryBounds = { min: quickJsMinPages, max: quickJsMaxPages } as const;

/**
 * What a recursion of the guest's may take of the stack in its memory, before QuickJS throws: so much that each engine's own
 * stack, and in deterministic runs the counted one, has room for the frames that belong to it. The few functions of QuickJS that
 * recur without using that stack (its parsers, `JSON.stringify`) end the guest by a trap.
 */
const stackBytes = { plain: 192 * 1024, deterministic: 80 * 1024 } as const;

/** There is no function that writes to a file. */
const noDisk: LimitReading = { limit: "disk", applied: 0, source: "import allow-list", peak: 0, hit: "no" };

const encoder = new TextEncoder();

interface Snippet {
  readonly tool: string;
  readonly pool: MemoryPool;
  readonly images: QuickJsImages;
  readonly module: WebAssembly.Module;
  readonly source: Uint8Array;
  /** What stack traces call it. */
  readonly file: string;
  readonly isModule: boolean;
  readonly maxStackBytes: number;
  /** Whether the output is JSON whatever it is; otherwise a text is written as it is. */
  readonly isJson: boolean;
}

/** @throws `ERR_ARTIFACT_UNSUPPORTED`. */
export function readySnippet(
  { deterministic, facts, modules }: CompiledArtifact,
  { tool, pool, images }: ReadyParts & { readonly images: QuickJsImages },
): ReadyArtifact {
  const reader = new FactReader(facts, tool);
  const module = modules[quickJsModule];
  if (module === undefined) throw reader.missing(quickJsModule);
  return new JavaScriptSnippet({
    tool,
    pool,
    images,
    module,
    source: encoder.encode(reader.text("source")),
    file: reader.text("file"),
    isModule: reader.flag("isModule"),
    maxStackBytes: deterministic ? stackBytes.deterministic : stackBytes.plain,
    isJson: reader.flag("isJson"),
  });
}

class JavaScriptSnippet implements ReadyArtifact {
  readonly abi = "javascript";
  readonly #snippet: Snippet;

  constructor(snippet: Snippet) {
    this.#snippet = snippet;
  }

  async run(run: WasmRun): Promise<WasmReport> {
    const { io, slices, memoryBytes } = run;
    const { tool, pool, images, module, maxStackBytes } = this.#snippet;
    if (io.files.length > 0) throw noFiles(tool);
    const image = await images.of(module, maxStackBytes);
    const waiting = slices.ready();
    if (waiting !== undefined) await waiting;
    io.signal.throwIfAborted();
    const lease = pool.lease({ tool, bounds: memoryBounds, limitBytes: memoryBytes });
    const host = new JavaScriptHost(run, lease);
    let exit: Exit;
    try {
      exit = await this.#start(image, host, run);
      await slices.settle();
    } catch (error) {
      if (!slices.isOver) throw error;
      exit = { kind: "trapped", trap: "ended by the host" };
    }
    const readings = [memoryReading(lease, host, memoryBytes), noDisk, ...singleThreaded];
    if (exit.kind === "exited" && !slices.isOver) pool.give(lease);
    return { exit, readings, files: [] };
  }

  /** Instantiates QuickJS and runs the snippet; what the run was ended with from outside goes through. */
  async #start(image: QuickJsImage, host: JavaScriptHost, run: WasmRun): Promise<Exit> {
    const { io, slices } = run;
    let instance: WebAssembly.Instance | undefined;
    io.started();
    slices.start();
    try {
      instance = new WebAssembly.Instance(this.#snippet.module, host.imports());
      slices.meter.bind(instance);
      const client = new QuickJsClient(instance, { memory: host.memory, charge: (units) => slices.work(units), canWait: true });
      host.bind(client);
      host.restore(image);
      return { kind: "exited", code: await this.#perform(client, image, run) };
    } catch (error) {
      return exitOf(host.memory.ended ?? error, instance);
    } finally {
      slices.stop();
    }
  }

  /** Gives the exit code. */
  async #perform(client: QuickJsClient, image: QuickJsImage, { io }: WasmRun): Promise<number> {
    const { source, file, isModule, isJson } = this.#snippet;
    const { runtime, context } = image;
    const settle = await prepare(client, image, { input: io.stdin, settings: { isJson, isModule, env: io.env } });
    const evaluated = await client.evaluate(context, source, { file, kind: isModule ? "module" : "script" });
    const thrown = await client.thrown(context, evaluated);
    const hasFailed = await client.make(thrown === undefined ? "getFalse" : "getTrue");
    const promise = await client.call(context, settle, [hasFailed, thrown ?? evaluated]);
    if ((await client.thrown(context, promise)) !== undefined) client.fail();
    await client.runJobs(runtime);
    const state = await client.enter("promiseState", context, promise);
    if (state === promiseStates.fulfilled) {
      const code = await client.make("promiseResult", context, promise);
      return (await client.enter("getFloat64", context, code)) === 0 ? 0 : 1;
    }
    const why = state === promiseStates.pending ? "the snippet's promise never settles: nothing is left that could do it" : "out of memory";
    await io.stderr(encoder.encode(`Error: ${why}\n`));
    return 1;
  }
}

interface Setting {
  readonly input: Uint8Array;
  readonly settings: { readonly isJson: boolean; readonly isModule: boolean; readonly env: Readonly<Record<string, string>> };
}

/** Tells the harness what the run is; gives the function that takes the snippet. */
async function prepare(
  client: QuickJsClient,
  { context, begin, stdout, stderr }: QuickJsImage,
  { input, settings }: Setting,
): Promise<Address> {
  const values = [stdout, stderr, await client.newString(context, input), await client.newString(context, JSON.stringify(settings))];
  const settle = await client.call(context, begin, values);
  if ((await client.thrown(context, settle)) !== undefined) client.fail();
  return settle;
}

function noFiles(tool: string): ToolRuntimeError {
  return new ToolRuntimeError(
    "ERR_INPUT_INVALID",
    `Cannot give files to the tool "${tool}": a snippet of JavaScript has no way to read them; send their content as input`,
    { details: { tool } },
  );
}

function exitOf(ended: unknown, instance: WebAssembly.Instance | undefined): Exit {
  if (ended instanceof OutOfMemory) return { kind: "trapped", trap: "out of memory" };
  if (ended instanceof Aborted) return { kind: "trapped", trap: "aborted" };
  if (ended instanceof AbiTrap) return { kind: "trapped", trap: "abi" };
  const trapped = trapOfInstance(ended, instance);
  if (trapped !== undefined) return trapped;
  throw ended;
}

function memoryReading({ memory, maxBytes, source }: Lease, { wasRefusedMemory }: JavaScriptHost, limitBytes: number): LimitReading {
  const isHit = wasRefusedMemory && isCapped(memoryBounds, limitBytes);
  return { limit: "memory", applied: maxBytes, source, peak: memory.buffer.byteLength, hit: isHit ? "yes" : "no" };
}
