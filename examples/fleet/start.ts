/**
 * An edge and three executor nodes on this machine: `node examples/fleet/start.ts [--inputs 300]`. Runs two batches over them,
 * kills a node in the middle of each, and prints what became of every input.
 */
import { readFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createClient, type BatchAnswer, type Client } from "../../src/client.ts";
import type { Child } from "./child.ts";
import { FleetNode } from "./nodes.ts";
import { toTable, type Row } from "./table.ts";
import { startEdge } from "./workerd.ts";

interface Fleet {
  readonly client: Client;
  readonly nodes: readonly FleetNode[];
  /** Where the tools write what they do. */
  readonly ledger: string;
  readonly signal: AbortSignal;
}

/** Runs the tool over 0, 1, 2, … and kills a node when a third of it is done; it is back when two thirds are. */
async function runBatch({ client, nodes, ledger, signal }: Fleet, { tool, inputs }: { tool: string; inputs: number }): Promise<Row> {
  const [node] = nodes;
  const answers: BatchAnswer[] = [];
  let killed: Promise<void> | undefined;
  let back: Promise<void> | undefined;
  console.log(`\n${inputs} inputs of "${tool}", 12 at a time`);
  const work = { tool, inputs: Array.from({ length: inputs }, (_, n) => ({ n })), concurrency: 12, env: { LEDGER: ledger } };
  for await (const answer of client.batch(work, { signal })) {
    answers.push(answer);
    if (answers.length > inputs / 3 && killed === undefined) {
      console.log(`  ${answers.length} are answered: node "${node?.name}" is killed`);
      killed = node?.kill();
    }
    if (answers.length > (inputs * 2) / 3 && killed !== undefined && back === undefined) {
      back = killed.then(() => node?.start());
      await back;
      console.log(`  ${answers.length} are answered: node "${node?.name}" is back`);
    }
  }
  const written = (await readFile(ledger, "utf8")).split("\n").slice(0, -1).map(Number);
  await rm(ledger);
  return { tool, inputs, answers, written };
}

async function main(signal: AbortSignal, inputs: number): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), "toolruntime-fleet-"));
  const [edgeToken, nodeToken] = [crypto.randomUUID(), crypto.randomUUID()];
  const nodes = ["one", "two", "three"].map((name) => new FleetNode({ name, folder, token: nodeToken }));
  let edge: Child | undefined;
  try {
    console.log("Starting three executor nodes and an edge in workerd");
    await Promise.all(nodes.map((node) => node.start()));
    edge = await startEdge({ folder, token: edgeToken, nodes: nodes.map(({ url }) => ({ url, token: nodeToken })) });
    console.log(`Edge on ${edge.url}, nodes on ${nodes.map(({ url }) => url).join(", ")}`);
    const client = createClient({ url: edge.url, token: edgeToken });
    const light = await client.run({ tool: "hash", input: { text: "hello" } }, { signal });
    console.log(`"hash" ran ${light.backend.via === undefined ? "in the edge itself" : `on ${light.backend.via}`}`);
    const fleet = { client, nodes, ledger: join(folder, "ledger"), signal };
    const rows: Row[] = [];
    for (const tool of ["count-again", "count"]) rows.push(await runBatch(fleet, { tool, inputs }));
    const { text, holds } = toTable(rows);
    console.log(`\n${text}`);
    return holds;
  } finally {
    await Promise.all([edge?.end("SIGTERM"), ...nodes.map((node) => node.stop())]);
    await rm(folder, { recursive: true, force: true });
  }
}

const { values } = parseArgs({ options: { inputs: { type: "string", default: "300" } } });
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => stop.abort());
try {
  if (!(await main(stop.signal, Number(values.inputs)))) process.exitCode = 1;
} catch (error) {
  if (!stop.signal.aborted) throw error;
  console.log("Ended; nothing is left running");
  process.exitCode = 130;
}
