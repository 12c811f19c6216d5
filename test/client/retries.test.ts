import { describe, expect, it } from "vitest";
import type { ClientOptions } from "../../src/client.ts";
import { openFaultProxy } from "../remote/fault-proxy.ts";
import { until } from "../edge/support.ts";
import { errorOf } from "../unit/support.ts";
import { openClient, problem, wireTap, type Served } from "./support.ts";

const task = { tool: "echo" };
/** What undici throws where a connection is refused, and where one ends without an answer. */
const refused = new TypeError("fetch failed", { cause: Object.assign(new Error("connect"), { code: "ECONNREFUSED" }) });
const lost = new TypeError("fetch failed", { cause: Object.assign(new Error("other side closed"), { code: "UND_ERR_SOCKET" }) });

/** A client of a real service that gets other answers to its first requests. */
async function tapped(answers: readonly (Response | Error)[], options: Partial<ClientOptions> = {}, served?: Served) {
  const tap = wireTap((count) => answers[count - 1]);
  const { with: make } = served ?? (await openClient());
  return { client: make({ fetch: tap.fetch, ...options }), sent: tap.sent };
}

function keysOf(sent: readonly { readonly headers: Headers }[]): (string | null)[] {
  return sent.map(({ headers }) => headers.get("idempotency-key"));
}

describe("a run is sent again", () => {
  it.for([
    ["the queue is full", () => problem("ERR_QUEUE_FULL", 429)],
    ["the service shuts down", () => problem("ERR_CLOSED", 503)],
    ["there is no connection", () => refused],
    ["a proxy limits the rate", () => new Response("slow down", { status: 429 })],
  ] as const)("where %s, under the same key", async ([, answer]) => {
    const { client, sent } = await tapped([answer()]);
    expect((await client.run(task)).exitCode).toBe(0);
    expect(sent.length).toBe(2);
    const [first, second] = keysOf(sent);
    expect([first, first === second]).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/), true]);
  });

  it("after the time that the service names, and not before", async () => {
    const { client, sent } = await tapped([problem("ERR_QUEUE_FULL", 429, {}, { "retry-after": "1" })]);
    const startedAt = performance.now();
    expect((await client.run(task)).exitCode).toBe(0);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(990);
    expect(sent.length).toBe(2);
  });

  it("with the ticket of the refusal, and no other one", async () => {
    const full = (ticket: string): Response => problem("ERR_QUEUE_FULL", 429, { details: { retryAfterMs: 1, ticket } });
    const { client, sent } = await tapped([full("a-1"), problem("ERR_CLOSED", 503)]);
    expect((await client.run(task)).exitCode).toBe(0);
    expect(sent.map(({ headers }) => headers.get("toolruntime-ticket"))).toEqual([null, "a-1", null]);
  });

  it("so often and no oftener", async () => {
    const busy = Array.from({ length: 10 }, () => problem("ERR_QUEUE_FULL", 429, { details: { retryAfterMs: 1 } }));
    const { client, sent } = await tapped(busy);
    expect(await errorOf(client.run(task))).toMatchObject({ code: "ERR_QUEUE_FULL", details: { retryAfterMs: 1 } });
    expect(sent.length).toBe(3);
    const never = await tapped([problem("ERR_QUEUE_FULL", 429)], { retries: 0 });
    expect((await errorOf(never.client.run(task))).code).toBe("ERR_QUEUE_FULL");
    expect(never.sent.length).toBe(1);
  });

  it("as a stream and as a run of its own too", async () => {
    const streamed = await tapped([refused]);
    const types: string[] = [];
    for await (const { type } of streamed.client.stream(task)) types.push(type);
    expect([types.at(-1), streamed.sent.length]).toEqual(["result", 2]);
    const started = await tapped([refused]);
    expect((await (await started.client.start(task)).wait()).exitCode).toBe(0);
  });
});

describe("a run is not sent again", () => {
  it.for([
    ["the tool may have started: no answer came", () => lost],
    ["the tool may have started: a proxy has lost the service", () => new Response("bad", { status: 502 })],
    ["the tool has started", () => problem("ERR_BACKEND_FAILED", 502, { started: true })],
    ["the same would come of it", () => problem("ERR_INPUT_INVALID", 400, { retryable: false })],
    ["the service is another one", () => new Response("<p>", { status: 200 })],
    ["the service names a time that is too long", () => problem("ERR_QUEUE_FULL", 429, { details: { retryAfterMs: 3_600_000 } })],
  ] as const)("where %s", async ([, answer]) => {
    const { client, sent } = await tapped([answer()]);
    await errorOf(client.run(task));
    expect(sent.length).toBe(1);
  });

  it("beyond its deadline", async () => {
    const { client, sent } = await tapped([problem("ERR_QUEUE_FULL", 429, {}, { "retry-after": "5" })]);
    expect((await errorOf(client.run(task, { deadline: "2s" }))).code).toBe("ERR_QUEUE_FULL");
    expect(sent.map(({ headers }) => Number(headers.get("toolruntime-deadline")) <= 2000)).toEqual([true]);
  });

  it("once it is aborted", async () => {
    const { client, sent } = await tapped([problem("ERR_QUEUE_FULL", 429, { details: { retryAfterMs: 20_000 } })]);
    const controller = new AbortController();
    const run = errorOf(client.run(task, { signal: controller.signal }));
    await until(() => sent.length === 1, 2000, "the first request");
    setTimeout(() => controller.abort(), 20);
    expect((await run).code).toBe("ERR_ABORTED");
    expect(sent.length).toBe(1);
  });
});

describe("a tool that may run twice", () => {
  it("is sent again under another key where it may have started", async () => {
    for (const answer of [lost, problem("ERR_BACKEND_FAILED", 502, { started: true })]) {
      const { client, sent } = await tapped([answer]);
      expect((await client.run(task, { idempotent: true, idempotencyKey: "mine" })).exitCode).toBe(0);
      expect(keysOf(sent)).toEqual(["mine", "mine.1"]);
    }
  });
});

describe("a real service", () => {
  it("runs once what is sent twice under one key", async () => {
    const served = await openClient({ count: "echo ran >&2; echo $$" });
    const { client } = served;
    const options = { idempotencyKey: "order-1" };
    const [first, second] = await Promise.all([client.run({ tool: "count" }, options), client.run({ tool: "count" }, options)]);
    expect(second).toEqual(first);
    expect(served.audit().filter((line) => line.includes('"event":"started"')).length).toBe(1);
    expect((await errorOf(client.run({ tool: "count", input: { other: 1 } }, options))).code).toBe("ERR_IDEMPOTENCY_CONFLICT");
  });

  it("whose link is cut gives ERR_CONNECTION_FAILED and no second run", async () => {
    const served = await openClient({ slow: "echo begun; sleep 30" });
    await using proxy = await openFaultProxy(served.port);
    const client = served.with({ url: proxy.url });
    const read = async (): Promise<void> => {
      for await (const { type } of client.stream({ tool: "slow" })) if (type === "stdout") proxy.cutAll();
    };
    expect(await errorOf(read())).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: true });
    await until(() => served.audit().some((line) => line.includes("ERR_ABORTED")), 10_000, "the run is over");
    expect(served.audit().filter((line) => line.includes('"event":"accepted"')).length).toBe(1);
  });

  it("whose link is cut is read on from where it was", async () => {
    const served = await openClient({ speaks: "for n in 1 2 3 4 5 6; do echo $n; sleep 0.1; done" });
    await using proxy = await openFaultProxy(served.port);
    const client = served.with({ url: proxy.url });
    const execution = await client.start({ tool: "speaks" });
    const text: string[] = [];
    const seqs: number[] = [];
    for await (const event of execution.events()) {
      seqs.push(event.seq);
      if (event.type !== "stdout") continue;
      text.push(new TextDecoder().decode(event.bytes));
      if (text.length % 2 === 0) proxy.cutAll();
    }
    expect(text.join("")).toBe("1\n2\n3\n4\n5\n6\n");
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
    expect(new Set(seqs).size).toBe(seqs.length);
    expect(proxy.connections).toBeGreaterThan(2);
  });

  it("that cannot be reached is ERR_CONNECTION_FAILED, and the tool has not started", async () => {
    const served = await openClient();
    const proxy = await openFaultProxy(served.port);
    await proxy.close();
    const client = served.with({ url: proxy.url, retries: 1 });
    const work = [client.run(task), client.tools.list(), client.blobs.put(new Uint8Array(1))];
    for (const error of await Promise.all(work.map(errorOf))) {
      expect(error).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: false, details: { reason: "ECONNREFUSED" } });
    }
  });
});
