import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "undici";
import { describe, expect, it, onTestFinished } from "vitest";
import { createClient, type BatchAnswer, type Client as ServiceClient } from "../../src/client.ts";
import { verifyAudit } from "../../src/store.ts";
import { ownerLabel } from "../../src/backends/oci/leftovers.ts";
import type { ToolRuntimeError } from "../../src/index.ts";
import { findCgroups } from "../../src/internal/node/cgroup-layout.ts";
import { findDaemons } from "../conformance/containers.ts";
import { fleetToken, isRunning, openFleet, until, type Fleet, type NodeProcess } from "./support.ts";

const layout = findCgroups(`fleet-test-${process.pid}`);
if (layout === undefined) console.log("Cgroups that a killed node leaves are not looked for: none can be made here");

function cgroupsOf(owner: string): string[] {
  return (layout ?? []).flatMap(({ parent }) => readdirSync(parent).filter((name) => name.includes(owner)));
}

function clientOf({ url }: NodeProcess): ServiceClient {
  return createClient({ url, token: fleetToken, retries: 0 });
}

/** Without a reaper: what is left is there for the next start. */
async function openOne(): Promise<Fleet & { readonly node: NodeProcess }> {
  const fleet = await openFleet({ config: { reaper: false } });
  const [node] = fleet.nodes;
  if (node === undefined) throw new Error("there is no node");
  return { ...fleet, node };
}

describe("G7: a node that is killed by SIGKILL and started again", () => {
  it("finds and removes what it had started: processes that hide, cgroups, folders", async () => {
    const { node, effects } = await openOne();
    for (const n of [1, 2, 3]) void node.post({ tool: "daemon", input: { n } }).catch(() => undefined);
    await until(() => effects.all().length === 9, 20_000, "three runs of three processes each");
    const pids = effects.all().map(({ pid }) => pid);
    const owners = readdirSync(node.scratch);
    expect(owners).toHaveLength(1);
    const [owner = "none"] = owners;
    expect(layout === undefined || cgroupsOf(owner).length > 0).toBe(true);
    await node.kill();
    // A node that is killed ends nothing: there is something to find.
    expect(pids.filter(isRunning).length).toBeGreaterThan(0);
    await node.start();
    expect(pids.filter(isRunning)).toEqual([]);
    expect(readdirSync(node.scratch)).not.toContain(owner);
    expect(cgroupsOf(owner)).toEqual([]);
    expect((await clientOf(node).run({ tool: "append", input: { n: 4 } })).output).toEqual({ n: 4 });
  });

  it("knows what has ended, and says of what was running that it was lost and had started", async () => {
    const { node, effects } = await openOne();
    const ended = await clientOf(node).start({ tool: "append", input: { n: 1 } });
    const { output } = await ended.wait();
    const cut = await clientOf(node).start({ tool: "slow", input: { n: 2 } });
    await until(() => effects.of(2).length === 1, 20_000, "the second one runs");
    await node.restart();
    const client = clientOf(node);
    expect(await client.execution(ended.id).get()).toMatchObject({ status: "ended", result: { output } });
    const lost = await client.execution(cut.id).get();
    expect(lost).toMatchObject({ status: "ended", problem: { code: "ERR_EXECUTION_LOST", started: true, actor: "platform" } });
    expect(effects.counts()).toEqual(
      new Map([
        [1, 1],
        [2, 1],
      ]),
    );
  });

  it("runs nothing twice for an idempotency key that it had seen", async () => {
    const { node, effects } = await openOne();
    const once = (n: number) => node.post({ tool: "append", input: { n } }, { "idempotency-key": `key-${n}` });
    const first: unknown = await (await once(1)).json();
    const running = node.post({ tool: "slow", input: { n: 2 } }, { "idempotency-key": "key-2" }).catch(() => undefined);
    await until(() => effects.of(2).length === 1, 20_000, "the second one runs");
    await node.restart();
    await running;
    expect(await (await once(1)).json()).toEqual(first);
    const again = await node.post({ tool: "slow", input: { n: 2 } }, { "idempotency-key": "key-2" });
    expect(await again.json()).toMatchObject({ code: "ERR_EXECUTION_LOST", status: again.status, started: true });
    expect([effects.of(1).length, effects.of(2).length]).toEqual([1, 1]);
  });

  it("goes on with the audit log's chain, in which each run has an end", async () => {
    const { node, effects } = await openOne();
    await (await node.post({ tool: "append", input: { n: 1 } })).json();
    void node.post({ tool: "slow", input: { n: 2 } }).catch(() => undefined);
    await until(() => effects.of(2).length === 1, 20_000, "the second one runs");
    await node.restart();
    await (await node.post({ tool: "append", input: { n: 3 } })).json();
    expect(existsSync(node.auditFile)).toBe(true);
    const lines = readFileSync(node.auditFile, "utf8").split("\n").slice(0, -1);
    expect(await verifyAudit(lines)).toMatchObject({ ok: true });
    const records = lines.map((line): { event: string; executionId: string } => JSON.parse(line));
    const idsOf = (event: string): string[] => records.filter((one) => one.event === event).map(({ executionId }) => executionId);
    expect(idsOf("accepted")).toHaveLength(3);
    expect(idsOf("ended").toSorted()).toEqual(idsOf("accepted").toSorted());
  });
});

describe("G7: a batch whose service is killed by SIGKILL in the middle and started again", () => {
  it.for([
    ["append", false],
    ["append-again", true],
  ] as const)("goes on by its key: one answer for each input of %s", { timeout: 60_000 }, async ([tool, isIdempotent]) => {
    const { node, effects } = await openOne();
    const client = createClient({ url: node.url, token: fleetToken });
    const inputs = Array.from({ length: 100 }, (_, n) => ({ n, ms: 50 }));
    const answers: BatchAnswer[] = [];
    let restarted: Promise<void> | undefined;
    for await (const answer of client.batch({ tool, inputs, concurrency: 8 }, { idempotencyKey: `batch-${tool}` })) {
      answers.push(answer);
      if (answers.length > 30) restarted ??= node.restart();
    }
    await restarted;
    expect(answers.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual(inputs.map(({ n }) => n));
    const failed = answers.flatMap((answer) => (answer.status === "error" ? [answer] : []));
    const counts = effects.counts();
    expect(answers.filter((answer) => answer.status === "result" && !counts.has(answer.index))).toEqual([]);
    // What was answered before the kill is not run again, whatever the tool says of itself.
    expect(counts.size + failed.filter(({ index }) => !counts.has(index)).length).toBe(100);
    expect(failed.length).toBeLessThanOrEqual(8);
    const isWrong = ({ error }: { readonly error: ToolRuntimeError }): boolean =>
      isIdempotent || !error.started || error.code !== "ERR_EXECUTION_LOST";
    expect(failed.filter(isWrong)).toEqual([]);
    expect(Math.max(...counts.values())).toBeLessThanOrEqual(isIdempotent ? 2 : 1);
  });
});

const daemons = findDaemons();
if (typeof daemons === "string") console.log(`Containers that a killed node leaves are not looked for: ${daemons}`);

/** A tool that is an image in which nothing ends. */
async function writeSleeper(tools: string, reference: string): Promise<void> {
  const manifest = { name: "sleeper", version: "1.0.0", description: "Sleeps", inputSchema: true, resources: { timeout: "50s" } };
  await mkdir(join(tools, "sleeper"), { recursive: true });
  const artifacts = { image: { reference, argv: ["/bin/sh", "-c", "sleep 60"] } };
  await writeFile(join(tools, "sleeper", "tool.json"), JSON.stringify({ ...manifest, artifacts }));
}

describe.skipIf(typeof daemons === "string")("G7: a node with docker that is killed by SIGKILL and started again", () => {
  it("finds and removes its containers", { timeout: 90_000 }, async () => {
    if (typeof daemons === "string") return;
    const socketPath = daemons.sockets.docker;
    const reference = daemons.images["busybox"]?.reference ?? "";
    const fleet = await openFleet({
      config: { backends: { docker: { socketPath, acceptEngines: ["runc@1.1.5"] } }, reaper: false },
      prepare: (tools) => writeSleeper(tools, reference),
    });
    const [node] = fleet.nodes;
    if (node === undefined) throw new Error("there is no node");
    const docker = new Client("http://docker", { socketPath });
    onTestFinished(() => docker.close());
    const owner = `${node.pid}-`;
    const mine = async (): Promise<string[]> => {
      const { body } = await docker.request({ method: "GET", path: "/containers/json?all=true" });
      const containers = (await body.json()) as { readonly State: string; readonly Labels: Readonly<Record<string, string>> }[];
      return containers.filter(({ Labels }) => Labels[ownerLabel]?.startsWith(owner) === true).map(({ State }) => State);
    };
    for (let run = 0; run < 2; run++) void node.post({ tool: "sleeper" }).catch(() => undefined);
    await until(async () => (await mine()).filter((state) => state === "running").length === 2, 40_000, "two containers run");
    await node.kill();
    expect(await mine()).toEqual(["running", "running"]);
    await node.start();
    expect(await mine()).toEqual([]);
  });
});
