import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { createService, parseConfig, type Service, type ServiceConfigInput } from "../../src/adapters/executor/index.ts";
import { createRegistry, defineTool, type Tool } from "../../src/index.ts";
import { verifyAudit } from "../../src/store.ts";
import { problemSchema, type Problem } from "../../src/wire.ts";

const echoWasm = readFileSync(new URL("../../bench/guests/echo.wasm", import.meta.url));

/** A WASI command that copies stdin to stdout. */
export function echoTool(name = "echo", version = "1.0.0"): Promise<Tool> {
  const manifest = {
    name,
    version,
    description: "Gives its input back",
    inputSchema: { type: "object" },
    outputSchema: { type: "object" },
  };
  return defineTool({ ...manifest, artifacts: { wasm: {} } }, { wasm: new Uint8Array(echoWasm) });
}

/** A shell script as a tool, for the `unsafe` backend. Its output is text. */
export function shellTool(name: string, script: string): Promise<Tool> {
  const manifest = { name, version: "1.0.0", description: "A script", inputSchema: { type: "object" } };
  return defineTool({ ...manifest, artifacts: { command: { argv: ["sh", "-c", script] } } });
}

export const tokens = {
  alice: { token: "alice-0123456789abcdef", principal: "alice", tenant: "red" },
  bob: { token: "bob-0123456789abcdef", principal: "bob", tenant: "blue" },
  reader: { token: "reader-0123456789abcdef", principal: "reader", tenant: "red", scopes: ["read"] },
} satisfies Record<string, NonNullable<ServiceConfigInput["tokens"]>[number]>;

export function bearer(who: keyof typeof tokens): { readonly authorization: string } {
  return { authorization: `Bearer ${tokens[who].token}` };
}

export interface Opened {
  readonly service: Service;
  readonly url: string;
  readonly port: number;
  /** Every line of the log so far. */
  readonly log: string[];
  /** Every record of the audit log so far, from its file. */
  audit(): string[];
  post(body: unknown, headers?: Record<string, string>, signal?: AbortSignal): Promise<Response>;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
}

/** A real service on a loopback port, with the echo tool on `wasm` and scripts on `unsafe`; closed after the test. */
export async function openService(
  config: ServiceConfigInput = {},
  scripts: Readonly<Record<string, string>> = {},
  tools: readonly Tool[] = [],
): Promise<Opened> {
  const log: string[] = [];
  const shellTools = await Promise.all(Object.entries(scripts).map(([name, script]) => shellTool(name, script)));
  const unsafe = shellTools.length > 0 ? { unsafe: { acceptUnsafe: true } } : {};
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-service-"));
  const auditFile = join(folder, "audit.jsonl");
  const service = await createService({
    config: parseConfig({ audit: { file: auditFile }, port: 0, security: "dev", backends: { wasm: {}, ...unsafe }, graceMs: 0, ...config }),
    tools: createRegistry([await echoTool(), ...shellTools, ...tools]),
    logTo: { write: (line: string) => void log.push(line) },
  });
  onTestFinished(async () => {
    await service.close();
    rmSync(folder, { recursive: true });
  });
  const { url, port } = await service.listen();
  return {
    service,
    url,
    port,
    log,
    audit: () => (existsSync(auditFile) ? readFileSync(auditFile, "utf8").split("\n").slice(0, -1) : []),
    post: (body, headers = {}, signal) =>
      fetch(`${url}/v1/executions`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
        ...(signal === undefined ? {} : { signal }),
      }),
    get: (path, headers = {}) => fetch(`${url}${path}`, { headers }),
  };
}

/** The problem document of an answer, checked against its schema and its status. */
export async function problemOf(response: Response): Promise<Problem> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const problem = problemSchema.parse(await response.json());
  expect(problem.status).toBe(response.status);
  return problem;
}

/** Polls until a condition holds. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs: number, what: string): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** What every abuse case leaves: a service that is ready, a whole audit log with a known end for each run, no canary. */
export async function expectHealthy(
  { audit, get, post, log }: Opened,
  canary: string,
  headers: Record<string, string> = {},
): Promise<void> {
  expect((await get("/readyz")).status).toBe(200);
  const started = performance.now();
  const victim = await post({ tool: "echo", input: { who: "victim" } }, headers);
  expect(victim.status).toBe(200);
  expect(performance.now() - started).toBeLessThan(2000);
  const lines = audit();
  expect(await verifyAudit(lines)).toMatchObject({ ok: true });
  const events = lines.map((line) => JSON.parse(line) as { event: string; executionId: string });
  const idsOf = (event: string): string[] => events.filter((one) => one.event === event).map((one) => one.executionId);
  expect(idsOf("ended").toSorted()).toEqual(idsOf("accepted").toSorted());
  expect(log.join("")).not.toContain(canary);
  expect(lines.join("")).not.toContain(canary);
}

export interface RawAnswer {
  readonly text: string;
  readonly status: number;
  readonly ms: number;
}

/** Sends bytes as they are and reads until the other side closes. */
export function sendRaw(port: number, ...pieces: readonly string[]): Promise<RawAnswer> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.setTimeout(20_000, () => reject(new Error("The connection stayed open")));
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
      resolve({ text, status, ms: performance.now() - started });
    });
    for (const piece of pieces) socket.write(piece, "latin1");
  });
}

export function openSocket(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.once("error", reject);
  });
}

export async function ndjson(response: Response): Promise<Record<string, unknown>[]> {
  const text = await response.text();
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
