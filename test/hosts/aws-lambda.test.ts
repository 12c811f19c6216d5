import { Writable } from "node:stream";
import { join } from "node:path";
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from "aws-lambda";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { WireEvent, WireResult } from "../../src/wire.ts";
import { buildExample, importBuilt } from "./bundled.ts";
import { token } from "./calls.ts";
import { context, functionUrlEvent, gatewayEvent, type Asked } from "./lambda-events.ts";
import { buildPackage, openProject, type Project } from "./project.ts";

type Handler = (event: APIGatewayProxyEventV2, lambdaContext: typeof context) => Promise<APIGatewayProxyStructuredResultV2>;
type StreamHandler = (event: APIGatewayProxyEventV2, stream: Collected, lambdaContext: typeof context) => Promise<void>;

/** What a function that streams writes to: the head, and then the body piece by piece. */
class Collected extends Writable {
  head: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> } = {};
  readonly pieces: string[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.pieces.push(chunk.toString());
    done();
  }
}

/** What Lambda's Node runtime puts beside a function that streams. */
const awslambda = {
  streamifyResponse: (handler: StreamHandler): StreamHandler => handler,
  HttpResponseStream: {
    from: (stream: Collected, head: Collected["head"]): Collected => {
      stream.head = head;
      return stream;
    },
  },
};

const authorization = `Bearer ${token}`;
const json = { authorization, "content-type": "application/json" };
const hash: Asked = {
  method: "POST",
  path: "/v1/executions",
  headers: json,
  body: JSON.stringify({ tool: "hash", input: { text: "héllo" }, resources: { fuel: "10M" } }),
};

let project: Project;
let handle: Handler;
let stream: StreamHandler;

beforeAll(async () => {
  using built = buildPackage();
  project = openProject("aws-lambda", built);
  buildExample(project.folder);
  vi.stubEnv("TOOLRUNTIME_TOKEN", token);
  vi.stubEnv("TOOLS", join(project.folder, "tools"));
  vi.stubGlobal("awslambda", awslambda);
  handle = (await importBuilt<{ readonly handler: Handler }>(project.folder, "index.mjs")).handler;
  stream = (await importBuilt<{ readonly handler: StreamHandler }>(project.folder, "stream.mjs")).handler;
});
afterAll(() => {
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
  project[Symbol.dispose]();
});

describe.each([
  ["API Gateway", gatewayEvent],
  ["a function URL", functionUrlEvent],
] as const)("examples/aws-lambda behind %s", (_, eventOf) => {
  const ask = async (asked: Asked): Promise<{ readonly status: number | undefined; readonly body: unknown }> => {
    const { statusCode, body = "", isBase64Encoded } = await handle(eventOf(asked), context);
    const text = isBase64Encoded === true ? Buffer.from(body, "base64").toString() : body;
    return { status: statusCode, body: JSON.parse(text) };
  };

  test("refuses who has no token", async () => {
    const answer = await ask({ method: "GET", path: "/v1/tools" });
    expect(answer).toMatchObject({ status: 401, body: { code: "ERR_UNAUTHORIZED" } });
  });

  test("lists its tools", async () => {
    const answer = await ask({ method: "GET", path: "/v1/tools", headers: { authorization } });
    expect(answer).toMatchObject({ status: 200, body: { tools: [{ name: "endless" }, { name: "hash" }, {}, {}] } });
  });

  test("runs a tool, with receipts", async () => {
    const { status, body } = await ask(hash);
    const { output, limits } = body as WireResult;
    expect([status, output]).toEqual([200, { bytes: 6, digests: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) } }]);
    expect(limits.find(({ limit }) => limit === "fuel")?.peak).toBeGreaterThan(1000);
  });

  test("runs an Extism plug-in", async () => {
    const answer = await ask({ ...hash, body: JSON.stringify({ tool: "text-stats", input: { text: "The sea is calm." } }) });
    expect(answer).toMatchObject({ status: 200, body: { output: { words: 4 } } });
  });

  test("ends a tool at its timeout, and takes no longer one than API Gateway waits", async () => {
    const post = (timeout: string): Asked => ({ ...hash, body: JSON.stringify({ tool: "endless", resources: { timeout } }) });
    expect(await ask(post("200ms"))).toMatchObject({ status: 422, body: { code: "ERR_LIMIT_TIMEOUT" } });
    expect(await ask(post("26s"))).toMatchObject({ body: { started: false, details: { limit: "timeout" } } });
  });

  test("takes a query", async () => {
    const { body } = await ask(hash);
    const { id } = body as WireResult;
    const asked: Asked = {
      method: "GET",
      path: `/v1/executions/${id}/events`,
      query: "after=0",
      headers: { authorization, accept: "application/json" },
    };
    const { body: list } = await ask(asked);
    const { events } = list as { readonly events: readonly WireEvent[] };
    expect(events.map(({ type }) => type)).not.toContain("accepted");
    expect(events.at(-1)).toMatchObject({ type: "end" });
  });

  test("streams events, each as it comes", async () => {
    const collected = new Collected();
    await stream(eventOf({ ...hash, headers: { ...json, accept: "application/x-ndjson" } }), collected, context);
    expect(collected.head).toMatchObject({ statusCode: 200, headers: { "content-type": "application/x-ndjson" } });
    expect(collected.pieces.length).toBeGreaterThan(1);
    const events = collected.pieces
      .join("")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as WireEvent);
    expect(events.map(({ type }) => type)).toEqual(["accepted", "started", "stdout", "result", "end"]);
  });

  test("streams a refusal as what it is", async () => {
    const collected = new Collected();
    await stream(eventOf({ ...hash, headers: { "content-type": "application/json" } }), collected, context);
    expect([collected.head.statusCode, JSON.parse(collected.pieces.join(""))]).toMatchObject([401, { code: "ERR_UNAUTHORIZED" }]);
  });
});
