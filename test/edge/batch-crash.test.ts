import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createClient, type BatchAnswer } from "../../src/client.ts";
import { makeScript, seen, startCli, type Child } from "../cli/support.ts";
import { until } from "./support.ts";

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

interface Node {
  readonly url: string;
  /** Each run that began to work, by its input. */
  readonly runs: () => string[];
  start(): Promise<void>;
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** A service of its own process, whose executions outlive it. */
async function openNode(annotations: object): Promise<Node> {
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-crash-"));
  const port = await freePort();
  const log = join(folder, "runs");
  const manifest = { annotations, outputSchema: { type: "object" } };
  await makeScript(join(folder, "tools"), "effect", `input=$(cat); echo "$input" >> ${log}; sleep 0.1; echo "$input"`, manifest);
  const config = {
    port,
    security: "dev",
    tools: join(folder, "tools"),
    watch: false,
    backends: { wasm: {}, unsafe: { acceptUnsafe: true, scratch: join(folder, "scratch") } },
    state: { folder: join(folder, "state") },
    log: { level: "silent" },
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  let child: Child | undefined;
  return {
    url: `http://127.0.0.1:${port}`,
    runs: () =>
      existsSync(log)
        ? readFileSync(log, "utf8")
            .split("\n")
            .filter((line) => line !== "")
        : [],
    async start() {
      child = startCli(["serve", "--config", join(folder, "config.json")]);
      await seen(child.stdout, "listening");
    },
    async kill(signal = "SIGKILL") {
      const gone = new Promise((resolve) => child?.once("exit", resolve));
      child?.kill(signal);
      await gone;
    },
  };
}

const count = 60;
const inputs = [...Array(count).keys()].map((n) => ({ n }));

/** Sends a batch, kills the service some times in its midst, and gives the answers of all. */
async function throughCrashes(node: Node, signal?: NodeJS.Signals): Promise<BatchAnswer[]> {
  await node.start();
  const answers: BatchAnswer[] = [];
  const client = createClient({ url: node.url });
  const reading = (async () => {
    for await (const answer of client.batch({ tool: "effect", inputs, concurrency: 4 })) answers.push(answer);
  })();
  for (const after of [10, 25, 40]) {
    await until(() => answers.length >= after, 20_000, `${after} inputs are answered`);
    await node.kill(signal);
    await node.start();
  }
  await reading;
  return answers;
}

const indexesOf = (answers: readonly BatchAnswer[]): number[] => answers.map(({ index }) => index).toSorted((a, b) => a - b);

test("after each kill -9 the batch goes on: one answer for each input, and no tool runs twice that may not", async () => {
  const node = await openNode({});
  const answers = await throughCrashes(node);
  expect(indexesOf(answers)).toEqual([...Array(count).keys()]);
  const lost = answers.filter((answer) => answer.status === "error");
  expect(lost.map((answer) => [answer.error.code, answer.error.started])).toEqual(lost.map(() => ["ERR_EXECUTION_LOST", true]));
  expect(lost.length).toBeGreaterThan(0);
  expect(lost.length).toBeLessThanOrEqual(3 * 4);
  const runs = node.runs();
  expect(new Set(runs).size).toBe(runs.length);
  const results = answers.filter((answer) => answer.status === "result");
  expect(results.map(({ result }) => result.output)).toEqual(results.map(({ index }) => ({ n: index })));
  expect(results.filter(({ index }) => !runs.includes(`{"n":${index}}`))).toEqual([]);
  console.log(`Of ${count} inputs ${lost.length} were lost with their process; ${runs.length} runs had an effect, none twice`);
}, 90_000);

test("a tool that may run twice has a result for each input", async () => {
  const node = await openNode({ idempotentHint: true });
  const answers = await throughCrashes(node);
  expect(indexesOf(answers)).toEqual([...Array(count).keys()]);
  expect(answers.map((answer) => (answer.status === "result" ? answer.result.output : answer.error.code))).toEqual(
    answers.map(({ index }) => ({ n: index })),
  );
  expect(new Set(node.runs()).size).toBe(count);
}, 90_000);

test("a restart in order loses nothing, whether or not the tool may run twice", async () => {
  const node = await openNode({});
  const answers = await throughCrashes(node, "SIGTERM");
  expect(indexesOf(answers)).toEqual([...Array(count).keys()]);
  expect(answers.filter(({ status }) => status === "error")).toEqual([]);
  expect(new Set(node.runs()).size).toBe(node.runs().length);
}, 90_000);

test("a batch that went on by itself says that its process is gone, and the same key goes on", async () => {
  const node = await openNode({});
  await node.start();
  const send = (headers = {}): Promise<Response> =>
    fetch(`${node.url}/v1/batches`, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": "own", ...headers },
      body: JSON.stringify({ tool: "effect", inputs, concurrency: 2 }),
    });
  const { id } = (await (await send({ prefer: "respond-async" })).json()) as { id: string };
  await until(() => node.runs().length >= 8, 20_000, "eight inputs run");
  await node.kill();
  await node.start();
  const state = await (await fetch(`${node.url}/v1/batches/${id}`)).json();
  expect(state).toMatchObject({ id, status: "ended", problem: { code: "ERR_EXECUTION_LOST" } });
  const items = (await (await fetch(`${node.url}/v1/batches/${id}/items`)).text()).trim().split("\n");
  expect(JSON.parse(items.at(-1) ?? "")).toMatchObject({ type: "end", state: "failed", problem: { code: "ERR_EXECUTION_LOST" } });
  expect(items.length).toBeGreaterThan(4);
  const again = (await (await send()).text()).trim().split("\n");
  expect(JSON.parse(again.at(-1) ?? "")).toMatchObject({ type: "end", state: "done", counts: { read: count } });
  const runs = node.runs();
  expect(new Set(runs).size).toBe(runs.length);
}, 90_000);
