import { describe, expect, it, onTestFinished } from "vitest";
import { createClient } from "../../src/client.ts";
import { openFaultProxy } from "../remote/fault-proxy.ts";
import { errorOf } from "../unit/support.ts";
import { openLink, type Link } from "./partition.ts";
import { fleetToken, isRunning, openFleet, until, type Fleet } from "./support.ts";

/** ABUSE G2. */
const leaseEndMs = 15_000;
/** Above the 5 s in which a node says that it lives. */
const silenceMs = 8000;

async function linkTo(fleet: Fleet, index: number): Promise<Link> {
  const link = await openLink(fleet.nodes[index]?.port ?? 0);
  onTestFinished(() => link[Symbol.asyncDispose]());
  return link;
}

function pidOf(fleet: Fleet, n: number): number {
  return fleet.effects.of(n)[0]?.pid ?? 0;
}

describe("G2: a link that is lost in mid-stream", () => {
  it(
    "without a word: the lease ends the run on the node, the caller gets a typed error, and what is not lost goes on",
    { timeout: 90_000 },
    async () => {
      const fleet = await openFleet();
      const link = await linkTo(fleet, 0);
      const lost = fleet.runtime({ nodes: [{ url: link.url, name: "a", token: fleetToken }], silenceMs });
      const direct = fleet.runtime();
      const client = createClient({ url: link.url, token: fleetToken });
      const failed = errorOf(lost.execute({ tool: fleet.tool("slow"), input: { n: 1 } }));
      // Longer than any lease: what is renewed lives, and so does what belongs to the node.
      const renewed = direct.execute({ tool: fleet.tool("append"), input: { n: 2, ms: leaseEndMs + 2000 } });
      const own = await client.start({ tool: "append", input: { n: 3, ms: leaseEndMs + 1000 } });
      await until(() => [1, 2, 3].every((n) => fleet.effects.of(n).length === 1), 20_000, "all three tools run");
      const lostAt = performance.now();
      link.lose();
      await until(() => !isRunning(pidOf(fleet, 1)), leaseEndMs, "the run whose caller is lost is over");
      // The node cannot know of the loss but by the lease: it had no reason to end the run at once.
      expect(performance.now() - lostAt).toBeGreaterThan(1000);
      expect(await failed).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: true, retryable: true, details: { via: "a" } });
      link.heal();
      expect((await own.wait()).output).toEqual({ n: 3 });
      expect((await renewed).output).toEqual({ n: 2 });
      expect((await lost.execute({ tool: fleet.tool("append"), input: { n: 4 } })).output).toEqual({ n: 4 });
      expect([...fleet.effects.counts()].toSorted()).toEqual([1, 2, 3, 4].map((n) => [n, 1]));
    },
  );

  it("without a word: a tool that says that it may runs again on another node", { timeout: 90_000 }, async () => {
    const fleet = await openFleet({ nodes: 2 });
    const [a, b] = await Promise.all([linkTo(fleet, 0), linkTo(fleet, 1)]);
    const nodes = [a, b].map(({ url }, index) => ({ url, name: fleet.nodes[index]?.name ?? "", token: fleetToken }));
    const done = fleet.runtime({ nodes, silenceMs }).execute({ tool: fleet.tool("stuck-once"), input: { n: 1 } });
    await until(() => fleet.effects.of(1).length === 1, 20_000, "the tool has had its effect");
    const [effect] = fleet.effects.of(1);
    const hit = effect === undefined ? undefined : fleet.nodeOf(effect);
    (hit?.name === "a" ? a : b).lose();
    await until(() => effect !== undefined && !isRunning(effect.pid), leaseEndMs, "the run that was lost is over");
    const { output, backend } = await done;
    expect(output).toEqual({ n: 1 });
    expect(backend.via).not.toBe(hit?.name);
    expect(fleet.effects.of(1)).toHaveLength(2);
  });

  it("by a reset: the node ends the run at once, and the link that heals is used again", async () => {
    const fleet = await openFleet();
    const proxy = await openFaultProxy(fleet.nodes[0]?.port ?? 0);
    onTestFinished(() => proxy.close());
    const runtime = fleet.runtime({ nodes: [{ url: proxy.url, name: "a", token: fleetToken }] });
    const failed = errorOf(
      runtime.execute(
        { tool: fleet.tool("slow"), input: { n: 1 } },
        {
          onEvent: ({ type }) => {
            if (type !== "stdout") return;
            proxy.set({ kind: "refuse" });
            proxy.cutAll();
          },
        },
      ),
    );
    expect(await failed).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: true, partial: { stdout: "begun\n" } });
    await until(() => !isRunning(pidOf(fleet, 1)), leaseEndMs, "the run is over");
    proxy.set({ kind: "none" });
    let output: unknown;
    await until(
      async () => {
        output = await runtime.execute({ tool: fleet.tool("append"), input: { n: 2 } }).then(
          (result) => result.output,
          () => undefined,
        );
        return output !== undefined;
      },
      15_000,
      "the link is used again",
    );
    expect(output).toEqual({ n: 2 });
    expect(fleet.effects.of(1)).toHaveLength(1);
  });
});

describe("leases", () => {
  it("end what nobody renews, and nothing that somebody does", { timeout: 60_000 }, async () => {
    const fleet = await openFleet();
    const [node] = fleet.nodes;
    const client = createClient({ url: node?.url ?? "", token: fleetToken });
    const put = (id: string, ttlMs: number) =>
      node?.call(`/v1/leases/${id}`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ttlMs }),
      });
    await put("left", 1000);
    await put("kept", 1000);
    const run = (lease: string, n: number) => node?.post({ tool: "append", input: { n, ms: 4000 } }, { "toolruntime-lease": lease });
    const [left, kept] = [run("left", 1), run("kept", 2)];
    const renewing = setInterval(() => void put("kept", 1000), 300);
    const problem: unknown = await (await left)?.json();
    expect(problem).toMatchObject({ code: "ERR_LEASE_EXPIRED", started: true, retryable: true });
    expect((await kept)?.status).toBe(200);
    clearInterval(renewing);
    const last = await put("kept", 1000);
    expect(await last?.json()).toEqual({ id: "kept", ttlMs: 1000, executions: 0 });
    expect((await client.run({ tool: "append", input: { n: 3 } })).output).toEqual({ n: 3 });
  });
});
