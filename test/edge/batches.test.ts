import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { batchEventSchema, batchSchema, type BatchEvent } from "../../src/internal/batch/messages.ts";
import { bearer, ndjson, openService, problemOf, tokens, until, type Opened } from "./support.ts";

type Item = Extract<BatchEvent, { type: "item" }>;
type End = Extract<BatchEvent, { type: "end" }>;

const json = { "content-type": "application/json" };
const lines = { "content-type": "application/x-ndjson" };
const auth = { tokens: Object.values(tokens) };

function post(url: string, body: unknown, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
  const init = { method: "POST", headers: { ...json, ...headers }, body: typeof body === "string" ? body : JSON.stringify(body) };
  return fetch(`${url}/v1/batches`, { ...init, ...(signal === undefined ? {} : { signal }) });
}

/** Every event of an answer, held against the schema, with exactly one ending as the last. */
async function eventsOf(response: Response): Promise<BatchEvent[]> {
  const events = (await ndjson(response)).map((event) => batchEventSchema.parse(event));
  expect(events.filter(({ type }) => type === "end")).toHaveLength(1);
  expect(events.at(-1)?.type).toBe("end");
  return events.filter(({ type }) => type !== "heartbeat");
}

const itemsOf = (events: readonly BatchEvent[]): Item[] => events.filter((event) => event.type === "item");
const endOf = (events: readonly BatchEvent[]): End | undefined => events.find((event) => event.type === "end");
const codeOf = ({ problem }: Item): string => problem?.code ?? "OK";
const indexesOf = (items: readonly Item[]): number[] => items.map(({ index }) => index).toSorted((a, b) => a - b);
const upTo = (count: number): number[] => [...Array(count).keys()];

/** A script that writes a line for each of its runs, so that runs can be counted from outside. */
function countingScript(rest: string): { readonly script: string; readonly runs: () => string[] } {
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-batch-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "runs");
  return {
    script: `input=$(cat); echo "$input" >> ${file}; ${rest}`,
    runs: () => (existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : []),
  };
}

describe("POST /v1/batches", () => {
  it("answers each input of a JSON body once, and says how it ended", async () => {
    const { url } = await openService();
    const inputs = upTo(20).map((n) => ({ n }));
    const events = await eventsOf(await post(url, { tool: "echo", inputs, concurrency: 4 }));
    expect(events[0]).toMatchObject({ type: "accepted", seq: 0, id: expect.stringMatching(/^ba_/), tool: { name: "echo" } });
    const items = itemsOf(events);
    expect(indexesOf(items)).toEqual(upTo(20));
    for (const { index, result } of items) expect(result).toMatchObject({ output: { n: index }, exitCode: 0 });
    expect(endOf(events)).toMatchObject({ state: "done", counts: { read: 20, running: 0, results: 20, errors: 0, failed: 0, kept: 0 } });
  });

  it("takes a line for each input, in any pieces, and answers a broken one by itself", async () => {
    const { url } = await openService();
    const text = `{"tool":"echo","ordered":true}\r\n{"n":0}\n\n{"n":\n{"n":2}\n{"n":3,"n":4}\n{"text":"ü"}`;
    const bytes = new TextEncoder().encode(text);
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    });
    const response = await fetch(`${url}/v1/batches`, { method: "POST", headers: lines, body, duplex: "half" } as RequestInit);
    const items = itemsOf(await eventsOf(response));
    expect(items.map(codeOf)).toEqual(["OK", "ERR_INPUT_INVALID", "OK", "ERR_INPUT_INVALID", "OK"]);
    expect(items[4]?.result?.output).toEqual({ text: "ü" });
  });

  it("gives answers while inputs still come", async () => {
    const { url } = await openService();
    const more = Promise.withResolvers<void>();
    const encoder = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(encoder.encode('{"tool":"echo"}\n{"n":0}\n'));
        await more.promise;
        controller.enqueue(encoder.encode('{"n":1}\n'));
        controller.close();
      },
    });
    const response = await fetch(`${url}/v1/batches`, { method: "POST", headers: lines, body, duplex: "half" } as RequestInit);
    let text = "";
    for await (const chunk of response.body ?? []) {
      text += new TextDecoder().decode(chunk);
      if (text.includes('"index":0')) more.resolve();
    }
    expect(text).toContain('"index":1');
    expect(text.trim().split("\n").at(-1)).toContain('"type":"end"');
  });

  it("takes a body in as it comes, so that slow runs do not keep its sender waiting", async () => {
    const { url } = await openService({ limits: { requestMs: 1000 } }, { nap: "sleep 0.2" });
    const input = JSON.stringify({ text: "x".repeat(50_000) });
    const body = `{"tool":"nap","concurrency":2}\n${`${input}\n`.repeat(30)}`;
    const items = itemsOf(await eventsOf(await post(url, body, lines)));
    expect(items.map(codeOf)).toEqual(Array<string>(30).fill("OK"));
  }, 30_000);

  it("takes inputs with files of their own", async () => {
    const { url } = await openService({}, { show: "cat; cat a.txt" });
    const items = [{ input: { n: 1 }, files: { "a.txt": { text: "hello" } } }, { files: {} }, { extra: 1 }];
    const answers = itemsOf(await eventsOf(await post(url, { tool: "show", inputs: items, as: "items", ordered: true })));
    expect(answers[0]?.result?.stdout).toBe('{"n":1}hello');
    expect(answers.map(codeOf)).toEqual(["OK", "OK", "ERR_INPUT_INVALID"]);
  });

  it("is refused as a whole for what no input could mend", async () => {
    const { url } = await openService(auth);
    const send = (body: unknown, who: "alice" | "reader" = "alice", headers = {}) => post(url, body, { ...bearer(who), ...headers });
    expect((await problemOf(await send({ tool: "none", inputs: [] }))).code).toBe("ERR_TOOL_NOT_FOUND");
    expect((await problemOf(await send({ tool: "echo" }))).code).toBe("ERR_INPUT_INVALID");
    expect((await problemOf(await send({ tool: "echo", inputs: [], concurency: 3 }))).detail).toContain("concurrency");
    expect((await problemOf(await send({ tool: "echo", inputs: [], concurrency: 257 }))).code).toBe("ERR_INPUT_INVALID");
    expect((await problemOf(await send({ tool: "echo", inputs: [], budget: { timeout: "soon" } }))).code).toBe("ERR_ARGUMENT_INVALID");
    expect((await problemOf(await send({ tool: "echo", inputs: [] }, "reader"))).code).toBe("ERR_FORBIDDEN");
    expect((await problemOf(await send("", "alice", lines))).code).toBe("ERR_INPUT_INVALID");
    expect((await problemOf(await send("x", "alice", { "content-type": "text/csv" }))).code).toBe("ERR_ARGUMENT_INVALID");
    expect(await eventsOf(await send({ tool: "echo", inputs: [] }))).toMatchObject([{ type: "accepted" }, { state: "done" }]);
  });

  it("speaks server-sent events where asked to", async () => {
    const { url } = await openService();
    const response = await post(url, { tool: "echo", inputs: [{}] }, { accept: "text/event-stream" });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(await response.text()).toMatch(/^id: 0\nevent: accepted\ndata: .*\n\nid: 1\nevent: item\ndata: .*\n\nid: 2\nevent: end\n/);
  });

  it("holds one budget for all", async () => {
    const { url } = await openService({}, { fail: "exit 3", sleep: "sleep 30" });
    const inputs = upTo(30).map(() => ({}));
    const failing = await eventsOf(await post(url, { tool: "fail", inputs, concurrency: 2, budget: { failures: 3 } }));
    expect(indexesOf(itemsOf(failing))).toEqual(upTo(30));
    expect(endOf(failing)).toMatchObject({ state: "exhausted", budget: "failures" });
    expect(new Set(itemsOf(failing).map(codeOf))).toEqual(new Set(["OK", "ERR_BUDGET_EXHAUSTED"]));
    const slow = itemsOf(
      await eventsOf(await post(url, { tool: "sleep", inputs, concurrency: 2, budget: { timeout: 500 }, ordered: true })),
    );
    expect(slow.map(codeOf)).toEqual(Array<string>(30).fill("ERR_BUDGET_EXHAUSTED"));
    expect(slow.map(({ problem }) => problem?.started)).toEqual([true, true, ...Array<boolean>(28).fill(false)]);
    const fueled = await eventsOf(await post(url, { tool: "echo", inputs, concurrency: 1, budget: { fuel: "1" } }));
    expect(itemsOf(fueled).map(codeOf)).toEqual(Array<string>(30).fill("ERR_BUDGET_EXHAUSTED"));
    expect(itemsOf(fueled)[0]?.problem).toMatchObject({ started: true, details: { budget: "fuel" } });
  });

  it("runs no more at once than it may, and waits out a full queue", async () => {
    const { url, service } = await openService({ limits: { maxExecutions: 2 } }, { nap: "sleep 0.2" });
    const sending = post(url, { tool: "nap", inputs: upTo(6).map(() => ({})), concurrency: 6 });
    const items = itemsOf(await eventsOf(await sending));
    expect(items.map(codeOf)).toEqual(Array<string>(6).fill("OK"));
    expect(service).toBeDefined();
  }, 30_000);
});

it("a large batch leaves room in the queue: nobody else is sent away while it goes on", async () => {
  const { url, post: run } = await openService({ ...auth, concurrency: { running: 2, queued: 8 } }, { nap: "sleep 0.1" });
  const sending = post(url, { tool: "nap", inputs: upTo(60).map(() => ({})), concurrency: 64 }, bearer("alice"));
  const others: number[] = [];
  const over = new AbortController();
  const answers = sending.then(eventsOf).finally(() => over.abort());
  while (!over.signal.aborted)
    others.push(...(await Promise.all((["alice", "bob"] as const).map(async (who) => (await run({ tool: "nap" }, bearer(who))).status))));
  expect(itemsOf(await answers).map(codeOf)).toEqual(Array<string>(60).fill("OK"));
  expect(others.length).toBeGreaterThan(4);
  expect(new Set(others)).toEqual(new Set([200]));
}, 60_000);

describe("an Idempotency-Key", () => {
  it("gives what had ended and runs only the rest", async () => {
    const { script, runs } = countingScript("exit 0");
    const { url } = await openService({}, { count: script });
    const key = { "idempotency-key": "batch-1" };
    const inputs = upTo(10).map((n) => ({ n }));
    await eventsOf(await post(url, { tool: "count", inputs: inputs.slice(0, 6) }, key));
    const again = await eventsOf(await post(url, { tool: "count", inputs }, key));
    expect(indexesOf(itemsOf(again).filter(({ kept }) => kept === true))).toEqual(upTo(6));
    expect(endOf(again)).toMatchObject({ state: "done", counts: { results: 10, kept: 6 } });
    expect(runs().toSorted()).toEqual(inputs.map((input) => JSON.stringify(input)).toSorted());
    const part = await eventsOf(await post(url, { tool: "count", first: 8, inputs: inputs.slice(8) }, key));
    expect(itemsOf(part).map(({ index, kept }) => [index, kept])).toEqual(
      expect.arrayContaining([
        [8, true],
        [9, true],
      ]),
    );
    expect(runs()).toHaveLength(10);
  });

  it("runs an input that changed, and refuses other limits under the same key", async () => {
    const { script, runs } = countingScript("exit 0");
    const { url } = await openService({}, { count: script });
    const key = { "idempotency-key": "batch-2" };
    await eventsOf(await post(url, { tool: "count", inputs: [{ n: 1 }] }, key));
    await eventsOf(await post(url, { tool: "count", inputs: [{ n: 2 }] }, key));
    expect(runs()).toEqual(['{"n":1}', '{"n":2}']);
    const other = await eventsOf(await post(url, { tool: "count", inputs: [{ n: 1 }], env: { A: "b" } }, key));
    expect(itemsOf(other).map(codeOf)).toEqual(["ERR_IDEMPOTENCY_CONFLICT"]);
  });

  it("lets end what runs when the connection is cut, so that the same batch goes on", async () => {
    const { script, runs } = countingScript("sleep 0.5");
    const { url, service } = await openService({}, { count: script });
    const key = { "idempotency-key": "batch-3" };
    const inputs = upTo(12).map((n) => ({ n }));
    const cut = new AbortController();
    const first = await post(url, { tool: "count", inputs, concurrency: 2 }, key, cut.signal);
    const reader = first.body?.getReader();
    await until(() => runs().length >= 2, 5000, "two inputs run");
    await reader?.read();
    cut.abort();
    await reader?.read().catch(() => undefined);
    const events = await eventsOf(await post(url, { tool: "count", inputs, concurrency: 4 }, key));
    expect(itemsOf(events).map(codeOf)).toEqual(Array<string>(12).fill("OK"));
    expect(runs().toSorted()).toEqual(inputs.map((input) => JSON.stringify(input)).toSorted());
    expect(service).toBeDefined();
  }, 30_000);

  it("stays within its tenant", async () => {
    const { script, runs } = countingScript("exit 0");
    const { url } = await openService(auth, { count: script });
    const key = { "idempotency-key": "batch-4" };
    await eventsOf(await post(url, { tool: "count", inputs: [{}] }, { ...key, ...bearer("alice") }));
    await eventsOf(await post(url, { tool: "count", inputs: [{}] }, { ...key, ...bearer("bob") }));
    expect(runs()).toHaveLength(2);
  });
});

it("without a key what runs is ended when the caller goes", async () => {
  const { script, runs } = countingScript("sleep 30");
  const { url, get } = await openService({}, { count: script });
  const cut = new AbortController();
  const response = await post(url, { tool: "count", inputs: upTo(10).map((n) => ({ n })), concurrency: 3 }, {}, cut.signal);
  await until(() => runs().length === 3, 5000, "three inputs run");
  const id = /"id":"(ba_\w+)"/.exec(new TextDecoder().decode((await response.body?.getReader().read())?.value))?.[1] ?? "";
  cut.abort();
  await until(async () => (await (await get(`/v1/batches/${id}`)).json()).status === "ended", 10_000, "the batch has ended");
  expect(batchSchema.parse(await (await get(`/v1/batches/${id}`)).json()).end?.state).toBe("cancelled");
  expect(runs()).toHaveLength(3);
}, 30_000);

describe("Prefer: respond-async", () => {
  const later = { prefer: "respond-async" };

  async function begin({ url }: Opened, body: unknown, headers = {}): Promise<string> {
    const response = await post(url, body, { ...later, ...headers });
    expect(response.status).toBe(202);
    const { id, status } = batchSchema.parse(await response.json());
    expect([response.headers.get("location"), status]).toEqual([`/v1/batches/${id}`, "running"]);
    return id;
  }

  it("goes on without the connection, and its items can be read from any point", async () => {
    const opened = await openService({}, { nap: "sleep 0.1; cat" });
    const inputs = upTo(9).map((n) => ({ n }));
    const id = await begin(
      opened,
      `${JSON.stringify({ tool: "nap", concurrency: 3 })}\n${inputs.map((one) => JSON.stringify(one)).join("\n")}`,
      lines,
    );
    const all = await eventsOf(await opened.get(`/v1/batches/${id}/items`));
    expect(indexesOf(itemsOf(all))).toEqual(upTo(9));
    expect(endOf(all)).toMatchObject({ state: "done", counts: { results: 9 } });
    const rest = await eventsOf(await opened.get(`/v1/batches/${id}/items?after=6`));
    expect(rest.map((event) => ("seq" in event ? event.seq : -1))).toEqual([7, 8, 9, 10]);
    expect(rest).toEqual(all.slice(-4));
    const state = batchSchema.parse(await (await opened.get(`/v1/batches/${id}`)).json());
    expect(state).toMatchObject({ status: "ended", counts: { results: 9, running: 0 }, end: { state: "done" } });
  });

  it("is cancelled by DELETE, which waits until nothing runs", async () => {
    const { script, runs } = countingScript("sleep 30");
    const opened = await openService({}, { count: script });
    const id = await begin(opened, { tool: "count", inputs: upTo(10).map((n) => ({ n })), concurrency: 2 });
    await until(() => runs().length === 2, 5000, "two inputs run");
    const counts = batchSchema.parse(await (await opened.get(`/v1/batches/${id}`)).json()).counts;
    expect(counts).toMatchObject({ read: 2, running: 2 });
    const response = await fetch(`${opened.url}/v1/batches/${id}`, { method: "DELETE" });
    expect(batchSchema.parse(await response.json())).toMatchObject({
      status: "ended",
      end: { state: "cancelled", counts: { running: 0 } },
    });
    const events = await eventsOf(await opened.get(`/v1/batches/${id}/items`));
    expect(itemsOf(events).map(codeOf)).toEqual(["ERR_ABORTED", "ERR_ABORTED"]);
    expect(runs()).toHaveLength(2);
  }, 30_000);

  it("is nobody else's", async () => {
    const opened = await openService(auth);
    const id = await begin(opened, { tool: "echo", inputs: [{}] }, bearer("alice"));
    for (const path of [`/v1/batches/${id}`, `/v1/batches/${id}/items`, "/v1/batches/ba_0", "/v1/batches/ex_0"]) {
      expect((await problemOf(await opened.get(path, bearer("bob")))).code).toBe("ERR_EXECUTION_NOT_FOUND");
    }
    expect((await opened.get(`/v1/batches/${id}`, bearer("reader"))).status).toBe(200);
    const cancel = await fetch(`${opened.url}/v1/batches/${id}`, { method: "DELETE", headers: bearer("reader") });
    expect((await problemOf(cancel)).code).toBe("ERR_FORBIDDEN");
  });
});

it("a batch that a drain overtakes lets end what runs and says how to go on", async () => {
  const { script, runs } = countingScript("sleep 1");
  const { url, service } = await openService({ graceMs: 5000 }, { count: script });
  const key = { "idempotency-key": "drained" };
  const answer = post(url, { tool: "count", inputs: upTo(20).map((n) => ({ n })), concurrency: 2 }, key);
  await until(() => runs().length === 2, 5000, "two inputs run");
  const draining = service.drain();
  const events = await eventsOf(await answer);
  await draining;
  expect(endOf(events)).toMatchObject({ state: "failed", problem: { code: "ERR_CLOSED" } });
  expect(itemsOf(events).map(codeOf)).toEqual(["OK", "OK"]);
  expect(runs()).toHaveLength(2);
}, 30_000);
