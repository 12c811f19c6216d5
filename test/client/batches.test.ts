import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { BatchAnswer, BatchOptions, BatchWork, Client } from "../../src/client.ts";
import { until } from "../edge/support.ts";
import { openFaultProxy } from "../remote/fault-proxy.ts";
import { codeOf } from "../unit/support.ts";
import { openClient, wireTap } from "./support.ts";

async function all(client: Client, work: BatchWork, options?: BatchOptions): Promise<BatchAnswer[]> {
  const answers: BatchAnswer[] = [];
  for await (const answer of client.batch(work, options)) answers.push(answer);
  return answers;
}

const upTo = (count: number): number[] => [...Array(count).keys()];
const inputs = (count: number): { n: number }[] => upTo(count).map((n) => ({ n }));
const indexesOf = (answers: readonly BatchAnswer[]): number[] => answers.map(({ index }) => index).toSorted((a, b) => a - b);
const codes = (answers: readonly BatchAnswer[]): string[] =>
  answers.map((answer) => (answer.status === "error" ? answer.error.code : "OK"));

function counting(rest: string): { readonly script: string; readonly runs: () => string[] } {
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-batch-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "runs");
  appendFileSync(file, "");
  const runs = (): string[] =>
    existsSync(file)
      ? readFileSync(file, "utf8")
          .split("\n")
          .filter((line) => line !== "")
      : [];
  return { script: `input=$(cat); echo "$input" >> ${file}; ${rest}`, runs };
}

test("each input gets its answer, whether they come from a list or one by one", async () => {
  const { client } = await openClient();
  const listed = await all(client, { tool: "echo", inputs: inputs(50) });
  expect(indexesOf(listed)).toEqual(upTo(50));
  for (const answer of listed) expect(answer).toMatchObject({ status: "result", result: { output: { n: answer.index } } });
  const slowly = async function* (): AsyncGenerator<{ n: number }> {
    for (const input of inputs(5)) {
      yield input;
      await new Promise((resolve) => setTimeout(resolve, 80));
    }
  };
  const tap = wireTap();
  const { with: withOptions } = await openClient();
  const trickled = await all(withOptions({ fetch: tap.fetch }), { tool: "echo", inputs: slowly(), ordered: true });
  expect(trickled.map(({ index }) => index)).toEqual(upTo(5));
  // A slow source holds back no answer of what it gave already.
  expect(tap.sent.length).toBeGreaterThan(1);
});

test("many inputs go in parts, one after the other", async () => {
  const { with: withOptions } = await openClient();
  const tap = wireTap();
  const answers = await all(withOptions({ fetch: tap.fetch }), { tool: "echo", inputs: inputs(4500), concurrency: 16 });
  expect(indexesOf(answers)).toEqual(upTo(4500));
  expect(tap.sent).toHaveLength(3);
  expect(answers.every((answer) => answer.status === "result" && JSON.stringify(answer.result.output) === `{"n":${answer.index}}`)).toBe(
    true,
  );
}, 60_000);

test("files go along, small ones inside, large ones and streams as blobs", async () => {
  const { client } = await openClient({ size: "cat a | wc -c" });
  const items = [
    { files: { a: "hello" } },
    { files: { a: new Uint8Array(200_000) } },
    { files: { a: new Blob(["x".repeat(10)]) } },
    { files: { a: new Blob(["stream"]).stream() } },
  ];
  const answers = await all(client, { tool: "size", inputs: items, as: "items", ordered: true });
  const sizes = answers.map((answer) => (answer.status === "result" ? answer.result.stdout.trim() : answer.error.code));
  expect(sizes).toEqual(["5", "200000", "10", "6"]);
});

test("a lost connection is taken up again, and nothing runs twice", async () => {
  const { script, runs } = counting("sleep 0.05");
  const served = await openClient({ count: script });
  const proxy = await openFaultProxy(served.port);
  onTestFinished(() => proxy.close());
  proxy.set({ kind: "cut", afterBytes: 12_000 });
  const client = served.with({ url: proxy.url });
  const answers = await all(client, { tool: "count", inputs: inputs(60), concurrency: 4 });
  expect(proxy.connections).toBeGreaterThan(1);
  expect(indexesOf(answers)).toEqual(upTo(60));
  expect(codes(answers).every((code) => code === "OK")).toBe(true);
  expect(runs().toSorted()).toEqual(
    inputs(60)
      .map((input) => JSON.stringify(input))
      .toSorted(),
  );
}, 60_000);

test("a service that cannot be reached at all is given up on", async () => {
  const served = await openClient();
  const proxy = await openFaultProxy(served.port);
  onTestFinished(() => proxy.close());
  proxy.set({ kind: "refuse" });
  expect(await codeOf(all(served.with({ url: proxy.url, retries: 0 }), { tool: "echo", inputs: inputs(2) }))).toBe("ERR_CONNECTION_FAILED");
});

test("one budget holds over all parts", async () => {
  const { client } = await openClient({ fail: "exit 1" });
  const source = async function* (): AsyncGenerator<object> {
    for (let count = 0; count < 12; count++) {
      yield {};
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
  };
  const answers = await all(client, { tool: "fail", inputs: source(), budget: { failures: 3 }, concurrency: 1 });
  expect(indexesOf(answers)).toEqual(upTo(12));
  expect(codes(answers).filter((code) => code === "OK")).toHaveLength(3);
  expect(codes(answers).filter((code) => code === "ERR_BUDGET_EXHAUSTED")).toHaveLength(9);
});

test("leaving the loop ends what runs; under a key of one's own it is let end", async () => {
  const { script, runs } = counting('case "$input" in *0*) exit 0;; esac; sleep 1; echo done >&2');
  const served = await openClient({ count: script });
  const count = (event: string): number => served.audit().filter((line) => line.includes(`"event":"${event}"`)).length;
  const work = { tool: "count", inputs: inputs(8), concurrency: 3 };
  for await (const _ of served.client.batch(work)) break;
  await until(() => count("ended") === count("accepted"), 5000, "nothing runs");
  const first = runs().length;
  expect(first).toBeLessThan(8);
  expect(served.audit().filter((line) => line.includes("ERR_ABORTED")).length).toBeGreaterThan(0);

  const key = { idempotencyKey: "mine" };
  for await (const _ of served.client.batch(work, key)) break;
  const answers = await all(served.client, work, key);
  expect(codes(answers)).toEqual(Array<string>(8).fill("OK"));
  expect(answers.some(({ kept }) => kept === true)).toBe(true);
  expect(runs().length - first).toBe(8);
}, 30_000);

test("an abort ends the batch, and a tool that is not there is said at once", async () => {
  const { client } = await openClient({ nap: "sleep 30" });
  const ending = new AbortController();
  setTimeout(() => ending.abort(), 300);
  expect(await codeOf(all(client, { tool: "nap", inputs: inputs(3) }, { signal: ending.signal }))).toBe("ERR_ABORTED");
  expect(await codeOf(all(client, { tool: "none", inputs: inputs(3) }))).toBe("ERR_TOOL_NOT_FOUND");
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  expect(await codeOf(all(client, { tool: "nap", inputs: [cyclic] }))).toBe("ERR_INPUT_INVALID");
});
