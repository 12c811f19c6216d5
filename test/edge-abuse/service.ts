import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { bundleWorker } from "../../bench/edge/bundle.ts";
import { openWorker, type Worker } from "../../bench/engines.ts";
import { bundleIsolate } from "../../scripts/isolate-bundle.ts";
import { defineTool, type ManifestInput, type Tool } from "../../src/index.ts";
import { sha256 } from "../../src/internal/digest.ts";
import { verifyAudit } from "../../src/store.ts";
import { resultSchema } from "../../src/wire.ts";
import type { AuditRecord } from "../abuse/attack-target.ts";
import { callingModule } from "../abuse/modules/binary.ts";
import { bearer, echoTool, tokens, until } from "../edge/support.ts";
import { guestTool } from "../edge-worker/tools.ts";
import { bytesOf } from "./deployed.ts";

const canary = { name: "TOOLRUNTIME_CANARY", value: "canary-e91b07" } as const;

/** Bounds that a test reaches. */
export const limits = { maxJsonBytes: 10_000, maxUploadBytes: 20_000, stalledReaderMs: 1000 };

/** How often a tool that promises JSON writes the same: a module's data is one page. */
const times = 4;

/** A tool that writes these bytes to stdout, so many times. */
function writes(
  name: string,
  bytes: readonly number[],
  { count = 1, ...manifest }: Partial<ManifestInput> & { readonly count?: number } = {},
) {
  const at = 64;
  const iovec = new Uint8Array(at);
  new DataView(iovec.buffer).setUint32(0, at, true);
  new DataView(iovec.buffer).setUint32(4, bytes.length, true);
  const calls = Array.from({ length: count }, () => ({ name: "fd_write", args: [1, 0, 1, 32] }));
  const own = { name, version: "1.0.0", description: `Writes ${name}`, inputSchema: true, artifacts: { wasm: {} }, ...manifest };
  return defineTool(own, { wasm: callingModule(calls, [...iovec, ...bytes]) });
}

/** Sleeps for half a second, and ends. */
function slowTool(): Promise<Tool> {
  const subscription = new Uint8Array(64);
  new DataView(subscription.buffer).setUint32(16, 1, true);
  new DataView(subscription.buffer).setBigUint64(24, 500_000_000n, true);
  const module = callingModule([{ name: "poll_oneoff", args: [0, 64, 1, 128] }], [...subscription]);
  return defineTool(
    { name: "slow", version: "1.0.0", description: "Sleeps", inputSchema: true, artifacts: { wasm: {} } },
    { wasm: module },
  );
}

const utf8 = (text: string): number[] => [...new TextEncoder().encode(text)];

/** Bytes that are no text, each in its own way. */
export const noText: Readonly<Record<string, readonly number[]>> = {
  invalid: [0x61, 0xff, 0xfe, 0x62],
  surrogate: [0x61, 0xed, 0xa0, 0x80, 0x62],
  overlong: [0x61, 0xc0, 0x80, 0x62],
};

/** What a tool that promises JSON may write in its place. */
export const noJson: Readonly<Record<string, string>> = {
  nested: "[".repeat(25_000 * times),
  infinite: '{"a":1e999}',
  doubled: '{"a":1,"a":2}',
};

/** ANSI, CRLF, a NUL and markup. */
export const hostile = "\u001b[2J\u001b]0;owned\u0007\r\nX-Evil: 1\r\n\u0000<script>alert(1)</script>";

function writesJson(name: string, text: string): Promise<Tool> {
  const isLong = text.length > 1000;
  const bytes = utf8(isLong ? text.slice(0, text.length / times) : text);
  return writes(name, bytes, { outputSchema: true, count: isLong ? times : 1 });
}

async function allTools(): Promise<readonly Tool[]> {
  return [
    await echoTool(),
    await guestTool("sleep"),
    await guestTool("loop"),
    await slowTool(),
    await defineTool(
      { name: "flood", version: "1.0.0", description: "Writes without end", inputSchema: true, artifacts: { wasm: {} } },
      { wasm: await readFile(new URL("../abuse/modules/flood-stdout.wasm", import.meta.url)) },
    ),
    ...(await Promise.all(Object.entries(noText).map(([name, bytes]) => writes(name, bytes)))),
    ...(await Promise.all(Object.entries(noJson).map(([name, text]) => writesJson(name, text)))),
    await writes("hostile", utf8(hostile)),
    await writes("nul", utf8("a\0b")),
  ];
}

const folder = fileURLToPath(new URL(".", import.meta.url));

/** A worker, and a back door to what each object in it inherits. */
const served = `
  function inherited() {
    const names = [];
    for (const name in {}) names.push(name);
    return names;
  }
  export default {
    fetch: (request, env, context) =>
      new URL(request.url).pathname === "/test/inherited" ? Response.json(inherited()) : worker.fetch(request, { ...env, ...bound }, context),
  };
`;

const staticMain = `
  import { createWorker } from "../../src/edge/worker.ts";
  import { openEngine as engine } from "toolruntime:engine";
  import { tools } from "toolruntime:tools";
  export { Executions } from "../../src/edge/worker.ts";
  const worker = createWorker({ tools, engine, limits: ${JSON.stringify(limits)} });
  const bound = {};
  ${served}
`;

/** As `staticMain`, with the tools in a bucket. */
function dynamicMain(list: readonly ManifestInput[], artifacts: Readonly<Record<string, Uint8Array>>): string {
  const texts = Object.entries(artifacts).map(([digest, bytes]) => [digest, Buffer.from(bytes).toString("base64")]);
  return `
  import { createWorker } from "../../src/edge/worker.ts";
  import { isolates } from "../../src/wasm/loader/index.ts";
  import { MemoryBucket } from "./entry.ts";
  import { engine } from "toolruntime:isolate";
  export { Executions } from "../../src/edge/worker.ts";
  const decode = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const artifacts = new Map(${JSON.stringify(texts)}.map(([digest, text]) => [digest, decode(text)]));
  const worker = createWorker({ dynamic: (loader) => isolates({ loader, engine }), limits: ${JSON.stringify(limits)} });
  const bound = { ARTIFACTS: new MemoryBucket(artifacts, ${JSON.stringify(JSON.stringify(list))}) };
  ${served}
`;
}

async function bundleDynamic(): Promise<string> {
  const artifacts: Record<string, Uint8Array> = {};
  const list: ManifestInput[] = [];
  for (const tool of await allTools()) {
    const bytes = await bytesOf(tool);
    const digest = await sha256(bytes);
    artifacts[digest] = bytes;
    list.push({ ...(tool.manifest as ManifestInput), artifacts: { wasm: { digest } } });
  }
  const virtual = { "toolruntime:isolate": `export const engine = ${JSON.stringify(await bundleIsolate())};` };
  return bundleWorker({ main: dynamicMain(list, artifacts), folder, virtual });
}

export const modes = ["static", "dynamic"] as const;

interface EdgeServiceOptions {
  readonly mode: (typeof modes)[number];
  readonly security: "dev" | "standard";
  /** More secrets. */
  readonly secrets?: Readonly<Record<string, string>>;
}

/** The worker with its tools, in workerd: in dev for callers on this machine, in standard for those with a token. */
export class EdgeService implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #isolation: string;
  readonly #headers: Readonly<Record<string, string>>;

  private constructor(worker: Worker, { mode, security }: EdgeServiceOptions) {
    this.#worker = worker;
    this.#isolation = mode === "static" ? "wasm" : "isolate";
    this.#headers = security === "dev" ? {} : bearer("alice");
  }

  static async open(options: EdgeServiceOptions): Promise<EdgeService> {
    const { mode, security } = options;
    const code = mode === "static" ? await bundleWorker({ main: staticMain, folder, tools: await allTools() }) : await bundleDynamic();
    const secrets = security === "dev" ? {} : { TOOLRUNTIME_TOKENS: JSON.stringify([tokens.alice, tokens.bob]) };
    const env = { TOOLRUNTIME_SECURITY: security, [canary.name]: canary.value, ...secrets, ...options.secrets };
    const loader = mode === "static" ? {} : { loader: "LOADER" };
    const worker = await openWorker(code, { env, flags: ["enable_request_signal"], objects: { EXECUTIONS: "Executions" }, ...loader });
    return new EdgeService(worker, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker[Symbol.asyncDispose]();
  }

  get url(): string {
    return this.#worker.url;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  get(path: string, headers: Readonly<Record<string, string>> = this.#headers): Promise<Response> {
    return fetch(`${this.url}${path}`, { headers });
  }

  post(body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(`${this.url}/v1/executions`, {
      method: "POST",
      headers: { "content-type": "application/json", ...this.#headers, ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  }

  /** What the process wrote, whole lines alone. */
  lines(): string[] {
    return this.#worker.logged().split("\n").slice(0, -1);
  }

  audit(): AuditRecord[] {
    return this.#auditLines().map((line) => JSON.parse(line) as AuditRecord);
  }

  #auditLines(): string[] {
    return this.lines().filter((line) => line.startsWith("{") && line.includes('"executionId"') && line.includes('"event"'));
  }

  /** What the worker's process has in memory, in bytes. */
  memory(): number {
    const status = readFileSync(`/proc/${this.#worker.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  acceptedCount(): number {
    return this.audit().filter(({ event }) => event === "accepted").length;
  }

  /** What every case leaves: a service that is ready, a whole audit log with a known end for each run, no canary. */
  async holds(): Promise<void> {
    expect((await this.get("/readyz")).status).toBe(200);
    const started = performance.now();
    const victim = await this.post({ tool: "echo", input: { who: "victim" } });
    const result = resultSchema.parse(await victim.json());
    expect([result.stdout, result.backend.isolation]).toEqual(['{"who":"victim"}', this.#isolation]);
    expect(performance.now() - started).toBeLessThan(2000);
    const idsOf = (event: string) => this.audit().flatMap((one) => (one.event === event ? [one.executionId] : []));
    await until(() => idsOf("ended").length >= idsOf("accepted").length, 2000, "every run has ended");
    expect(idsOf("ended").toSorted()).toEqual(idsOf("accepted").toSorted());
    expect(await verifyAudit(this.#auditLines())).toMatchObject({ ok: true });
    expect(await (await this.get("/test/inherited")).json(), "what each object of the worker inherits").toEqual([]);
    const written = this.lines().join("\n");
    expect(written.includes(canary.value), "the canary in the log").toBe(false);
    expect(written.includes("internal error"), "an internal error in the log").toBe(false);
  }

  /** Sends bytes as they are; what comes back until the other side closes, or says nothing for a while. */
  send(...pieces: readonly string[]): Promise<RawAnswer> {
    return new Promise((resolve) => {
      const socket = connect(this.port, "127.0.0.1");
      let text = "";
      socket.setTimeout(5000, () => socket.destroy());
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1");
        // Time for a second answer, where the bytes were taken for two requests.
        socket.setTimeout(250);
      });
      socket.on("error", () => undefined);
      socket.on("close", () => resolve({ text, status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0) }));
      for (const piece of pieces) socket.write(piece, "latin1");
    });
  }
}

interface RawAnswer {
  readonly text: string;
  readonly status: number;
}
