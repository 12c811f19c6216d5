import { readFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { remote, type NodeEvent, type NodeSource, type RemoteNode, type RemoteOptions } from "../../src/adapters/remote/index.ts";
import type { Fetch } from "../../src/client.ts";
import { createRuntime, defineTool, type Runtime, type Tool, type ToolRuntimeError } from "../../src/index.ts";
import { echoTool, shellTool, until } from "../edge/support.ts";
import { codeOf, errorOf } from "../unit/support.ts";
import { openFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { lyingFetch } from "./lying.ts";
import { executionsOf, nodeToken, openNode, startNode, toolShelf, type ExecutorNode, type NodeOptions } from "./support.ts";

const config = { backends: { wasm: {}, unsafe: { acceptUnsafe: true } } } as const;
/** Draws the first of those that are left. */
const inOrder = (): number => 0;

interface Fleet {
  readonly nodes: readonly ExecutorNode[];
  readonly runtime: Runtime;
  readonly events: NodeEvent[];
}

function named(nodes: readonly { readonly url: string }[]): RemoteNode[] {
  return nodes.map(({ url }, index) => ({ url, token: nodeToken, name: "abc"[index] ?? "" }));
}

function open(nodes: readonly { readonly url: string }[], options: Partial<RemoteOptions> = {}) {
  const events: NodeEvent[] = [];
  const backend = remote({ nodes: named(nodes), random: inOrder, onNode: (event) => events.push(event), ...options });
  const runtime = createRuntime({ backend, security: "dev" });
  onTestFinished(async () => {
    await runtime.close();
    await backend.close();
  });
  return { events, runtime };
}

/** Nodes "a", "b" … with the same tools behind one runtime, asked in this order. */
async function openFleet(
  tools: readonly Tool[],
  options: Partial<RemoteOptions> = {},
  each: readonly NodeOptions[] = [{}, {}],
): Promise<Fleet> {
  const nodes = await Promise.all(each.map((one) => openNode(toolShelf(tools), { ...one, config: { ...config, ...one.config } })));
  return { nodes, ...open(nodes, options) };
}

/** Two nodes with tools, the first of which is behind a link that can be broken. */
async function openBroken(tools: readonly Tool[], options: Partial<RemoteOptions> = {}): Promise<Fleet & { readonly proxy: FaultProxy }> {
  const nodes = await Promise.all([0, 1].map(() => openNode(toolShelf(tools), { config })));
  const proxy = await openFaultProxy(nodes[0]?.port ?? 0);
  onTestFinished(() => proxy.close());
  const opened = open([proxy, nodes[1] ?? proxy], options);
  await opened.runtime.probe();
  return { nodes, proxy, ...opened };
}

async function idempotent(name: string, script: string): Promise<Tool> {
  const manifest = {
    name,
    version: "1.0.0",
    description: "May run twice",
    inputSchema: { type: "object" },
    annotations: { idempotentHint: true },
  };
  return defineTool({ ...manifest, artifacts: { command: { argv: ["sh", "-c", script] } } });
}

/** A file in which tools leave a line for each time that they run. */
function effects(): { readonly path: string; readonly count: () => number } {
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-effects-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "effects");
  return { path, count: () => readFileSync(path, "utf8").split("\n").length - 1 };
}

const isPost = (url: string, { method }: RequestInit): boolean => method === "POST" && url.endsWith("/v1/executions");

describe("a node that cannot be reached", () => {
  it("is taken out, tried once after a while, and taken in again when it is back", { timeout: 30_000 }, async () => {
    const echo = await echoTool();
    const first = await startNode(toolShelf([echo]));
    const second = await openNode(toolShelf([echo]));
    const posts: string[] = [];
    const spy: Fetch = (url, init) => {
      if (isPost(url, init)) posts.push(new URL(url).port);
      return fetch(url, init);
    };
    const { runtime, events } = open([first, second], { fetch: spy, failures: 3, outMs: 300 });
    const run = async () => (await runtime.execute({ tool: echo })).backend.via;
    expect(await run()).toBe("a");
    await first.service.close();
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (let index = 0; index < 8; index++) expect(await run()).toBe("b");
    // Three that failed, and none after that while it is out.
    expect(posts.filter((port) => port === String(first.port)).length).toBe(4);
    expect(events.filter(({ state }) => state === "out")).toMatchObject([{ node: "a", reason: { code: "ERR_CONNECTION_FAILED" } }]);
    await new Promise((resolve) => setTimeout(resolve, 350));
    expect([await run(), await run()]).toEqual(["b", "b"]);
    expect(posts.filter((port) => port === String(first.port)).length).toBe(5);
    const again = await openNode(toolShelf([echo]), { config: { port: first.port } });
    await until(async () => (await run()) === "a", 5000, "the node is in again");
    expect(events.map(({ state }) => state)).toEqual(["joined", "joined", "out", "trial", "out", "trial", "in"]);
    expect((await executionsOf(again.service)).length).toBeGreaterThan(0);
  });

  it("is asked all the same where more than half of the nodes are out", async () => {
    const echo = await echoTool();
    let isDown = false;
    const down: Fetch = (url, init) => {
      if (isDown) throw Object.assign(new Error("no"), { code: "ECONNREFUSED" });
      return fetch(url, init);
    };
    const { runtime, events } = await openFleet([echo], { fetch: down, failures: 1 });
    await runtime.probe();
    isDown = true;
    expect(await codeOf(runtime.execute({ tool: echo }))).toBe("ERR_CONNECTION_FAILED");
    expect(events.filter(({ state }) => state === "out").map(({ node }) => node)).toEqual(["a", "b"]);
    isDown = false;
    expect((await runtime.execute({ tool: echo })).exitCode).toBe(0);
    expect(events.at(-1)?.state).toBe("in");
  });
});

describe("a node that lies", () => {
  const huge = "x".repeat(1000);
  const anEnding = { type: "result", seq: 90, result: {} };

  it.for([
    ["gives another run's result", "result", (event) => [{ ...event, result: { ...(event["result"] as object), id: "ex_other" } }]],
    ["sends broken JSON", "result", () => ['{"type":"result"\n']],
    ["gives a result after an error", "error", (event) => [event, anEnding]],
    ["sends a result without end", "result", () => Array.from({ length: 6000 }, () => huge)],
    [
      "sends output without end",
      "stdout",
      (event) => Array.from({ length: 3000 }, (_, index) => ({ ...event, seq: index + 2, text: huge })),
    ],
  ] as const satisfies readonly (readonly [string, string, Parameters<typeof lyingFetch>[0]])[])(
    "and %s is out at once, with the reason",
    async ([, type, change]) => {
      const tool = await shellTool("speaks", type === "error" ? "echo one; sleep 30" : "echo one");
      const nodes = await Promise.all([0, 1].map(() => openNode(toolShelf([tool]), { config })));
      const [first] = nodes;
      if (first === undefined) throw new Error("no node");
      const liar = lyingFetch((event) => (event["type"] === type ? change(event) : [event]));
      const lies: Fetch = (url, init) => (url.startsWith(first.url) ? liar : fetch)(url, init);
      const { runtime, events } = open(nodes, { fetch: lies });
      const task = { tool, resources: { output: 100_000, timeout: type === "error" ? 300 : 20_000 } };
      const error = await errorOf(runtime.execute(task));
      expect(error).toMatchObject({ started: true });
      expect(["ERR_ANSWER_INVALID", "ERR_LIMIT_OUTPUT", "ERR_LIMIT_TIMEOUT"]).toContain(error.code);
      expect(events.filter(({ state }) => state === "out")).toMatchObject([{ node: "a", reason: { code: "ERR_ANSWER_INVALID" } }]);
      const second = await runtime.execute(task).then(
        ({ backend }) => backend.via,
        ({ details }: { details: { via: string } }) => details.via,
      );
      expect(second).toBe("b");
      expect((await executionsOf(first.service)).length).toBe(1);
      const [probe] = await runtime.probe();
      expect(probe?.notes?.join("\n")).toContain('The node "a" is out, as it broke the protocol: Cannot read the answer of the node "a"');
    },
  );

  it("gets no run even where there is no other", async () => {
    const echo = await echoTool();
    const { url, service } = await openNode(toolShelf([echo]));
    const { runtime } = open([{ url }], { fetch: lyingFetch((event) => (event["type"] === "result" ? ["{}\n"] : [event])) });
    expect(await codeOf(runtime.execute({ tool: echo }))).toBe("ERR_ANSWER_INVALID");
    expect(await codeOf(runtime.execute({ tool: echo }))).toBe("ERR_BACKEND_UNAVAILABLE");
    expect((await executionsOf(service)).length).toBe(1);
    expect((await runtime.probe())[0]?.status).toBe("unavailable");
  });
});

describe("a run whose node is lost", () => {
  it("is asked for again under its key where the answer was lost before it came, and runs once", async () => {
    const { path, count } = effects();
    const tool = await shellTool("acts", `echo run >> ${path}; echo done`);
    const keys: string[] = [];
    const losesFirst: Fetch = async (url, init) => {
      const response = await fetch(url, init);
      if (!isPost(url, init)) return response;
      keys.push(new Headers(init.headers).get("idempotency-key") ?? "");
      if (keys.length > 1) return response;
      await response.text();
      throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
    };
    const { runtime } = await openFleet([tool], { fetch: losesFirst });
    const seen: string[] = [];
    const result = await runtime.execute({ tool }, { onEvent: ({ type }) => void seen.push(type) });
    expect(result).toMatchObject({ output: "done\n", stdout: "done\n", backend: { via: "a" } });
    expect(seen).toEqual(["started", "stdout"]);
    expect(count()).toBe(1);
    expect([keys.length, new Set(keys).size]).toEqual([2, 1]);
  });

  it("is not asked for again at another process behind the same address", async () => {
    const { path, count } = effects();
    const tool = await shellTool("acts", `echo run >> ${path}; echo done`);
    const [one, two] = await Promise.all([0, 1].map(() => openNode(toolShelf([tool]), { config })));
    if (one === undefined || two === undefined) throw new Error("no nodes");
    let posts = 0;
    // What stands before both gives the second request to the other one.
    const balanced: Fetch = async (url, init) => {
      if (!isPost(url, init)) return fetch(url, init);
      if (posts++ > 0) return fetch(url.replace(one.url, two.url), init);
      await (await fetch(url, init)).text();
      throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
    };
    const { runtime } = open([one], { fetch: balanced });
    expect(await errorOf(runtime.execute({ tool }))).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: true });
    expect([posts, count()]).toEqual([2, 1]);
  });

  it("before it started runs once, there or elsewhere", { timeout: 20_000 }, async () => {
    const { path, count } = effects();
    const [busy, tool] = [await shellTool("busy", "sleep 3"), await shellTool("acts", `echo run >> ${path}; echo done`)];
    const node = await openNode(toolShelf([busy, tool]), { config: { ...config, concurrency: { running: 1, queued: 5 } } });
    // The busy one is asked first, as the other one gets the tool later.
    const shelf = toolShelf([busy]);
    const other = await openNode(shelf, { config });
    const proxy = await openFaultProxy(node.port);
    onTestFinished(() => proxy.close());
    const { runtime } = open([proxy, other]);
    await runtime.probe();
    shelf.add(tool);
    const direct = open([node]);
    const begun = Promise.withResolvers<void>();
    const first = direct.runtime.execute({ tool: busy }, { onEvent: () => begun.resolve() });
    await begun.promise;
    const run = runtime.execute({ tool });
    await until(async () => (await executionsOf(node.service)).length === 2, 5000, "it waits there");
    proxy.cutAll();
    expect((await run).output).toBe("done\n");
    expect(count()).toBe(1);
    await first;
  });

  it("in the middle goes to another node only where the tool may run twice, and nothing is said twice", { timeout: 20_000 }, async () => {
    const { path, count } = effects();
    const script = `echo run >> ${path}; echo begun; sleep 0.5; echo end`;
    for (const mayRunTwice of [false, true]) {
      const tool = mayRunTwice ? await idempotent("acts", script) : await shellTool("acts", script);
      const { proxy, runtime } = await openBroken([tool]);
      const written: string[] = [];
      const run = runtime.execute(
        { tool },
        {
          onEvent: (event) => {
            if (event.type !== "stdout") return;
            written.push(new TextDecoder().decode(event.bytes));
            if (written.length === 1) proxy.cutAll();
          },
        },
      );
      const before = mayRunTwice ? 1 : 0;
      const outcome = await run.then(
        ({ output, backend }) => ({ output, via: backend.via }),
        ({ code, started, partial }: ToolRuntimeError) => ({ code, started, stdout: partial?.stdout }),
      );
      const lost = { code: "ERR_CONNECTION_FAILED", started: true, stdout: "begun\n" };
      expect(outcome).toEqual(mayRunTwice ? { output: "begun\nend\n", via: "b" } : lost);
      expect(written.join("")).toBe(mayRunTwice ? "begun\nend\n" : "begun\n");
      expect(count()).toBe(before + (mayRunTwice ? 2 : 1));
    }
  });

  it("is not taken over by one that says something else", { timeout: 20_000 }, async () => {
    const tool = await idempotent("differs", "echo $$; sleep 0.5; echo end");
    const { proxy, runtime } = await openBroken([tool]);
    const error = await errorOf(runtime.execute({ tool }, { onEvent: ({ type }) => (type === "stdout" ? proxy.cutAll() : undefined) }));
    expect(error).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: true });
    expect(error.partial?.stdout).toMatch(/^\d+\n$/);
  });
});

describe("a node that takes its time", () => {
  it("gets company where the tool may run twice, and the first with something to say is heard alone", { timeout: 20_000 }, async () => {
    const { path, count } = effects();
    const script = (await startsOn(path)) + "echo done";
    for (const mayRunTwice of [true, false]) {
      const tool = mayRunTwice ? await idempotent("slow", script) : await shellTool("slow", script);
      const fleet = await openFleet([tool], { hedgeAfterMs: 150 });
      const result = await fleet.runtime.execute({ tool });
      expect([result.output, result.backend.via]).toEqual(["done\n", mayRunTwice ? "b" : "a"]);
      const [one] = fleet.nodes;
      if (one !== undefined)
        await until(async () => (await executionsOf(one.service)).every(({ status }) => status === "ended"), 5000, "a is over");
    }
    expect(count()).toBe(3);
  });

  /** The first that starts sleeps two seconds; each leaves a line. */
  async function startsOn(path: string): Promise<string> {
    return `n=$(cat ${path} 2>/dev/null | wc -l); echo run >> ${path}; if [ $n = 0 ] || [ $n = 2 ]; then sleep 2; fi; `;
  }
});

describe("nodes that are full", () => {
  it("are waited for as long as the deadline allows, and not without one", { timeout: 20_000 }, async () => {
    const tool = await shellTool("slow", "sleep 0.7; echo done");
    const full = { config: { concurrency: { running: 1, queued: 0 } } };
    const { runtime } = await openFleet([tool], {}, [full, full]);
    await runtime.probe();
    const runs = await Promise.allSettled([1, 2, 3].map(() => runtime.execute({ tool }, { deadline: "15s" })));
    expect(runs.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
    const codes = await Promise.all(
      [1, 2, 3].map(() =>
        runtime.execute({ tool }).then(
          () => "OK",
          ({ code }: { code: string }) => code,
        ),
      ),
    );
    expect(codes.toSorted()).toEqual(["ERR_QUEUE_FULL", "OK", "OK"]);
  });
});

describe("a fleet that changes", () => {
  it("gives runs to nodes that come, keeps those of nodes that go, and asks neither for more", async () => {
    const slow = await shellTool("slow", "echo begun; sleep 1; echo end");
    const [one, two] = await Promise.all([0, 1].map(() => openNode(toolShelf([slow]), { config })));
    if (one === undefined || two === undefined) throw new Error("no nodes");
    const [a, b] = named([one, two]);
    let change: ((nodes: readonly RemoteNode[]) => void) | undefined;
    const source: NodeSource = {
      nodes: a === undefined ? [] : [a],
      onChange(listener) {
        change = listener;
        return () => (change = undefined);
      },
    };
    const { runtime, events } = open([], { nodes: source });
    const swap = ({ type }: { type: string }): void => {
      if (type === "stdout" && events.length === 1) change?.(b === undefined ? [] : [b]);
    };
    const first = await runtime.execute({ tool: slow }, { onEvent: swap });
    expect(first).toMatchObject({ output: "begun\nend\n", backend: { via: "a" } });
    expect((await runtime.execute({ tool: slow })).backend.via).toBe("b");
    expect(events.map(({ node, state }) => `${node} ${state}`)).toEqual(["a joined", "a left", "b joined"]);
  });

  it("asks those that a filter takes", async () => {
    const echo = await echoTool();
    const seen: unknown[] = [];
    const accepts: RemoteOptions["accepts"] = (facts) => {
      seen.push(facts);
      return facts.name === "b";
    };
    const { runtime } = await openFleet([echo], { accepts });
    expect((await runtime.execute({ tool: echo })).backend.via).toBe("b");
    expect(seen[0]).toMatchObject({ name: "a", host: { arch: process.arch, os: process.platform }, backends: ["wasm", "unsafe"] });
    const none = await openFleet([echo], { accepts: () => false });
    expect(await codeOf(none.runtime.execute({ tool: echo }))).toBe("ERR_BACKEND_UNAVAILABLE");
  });
});

describe("limits of this side's own", () => {
  it("are ceilings: a node with lower maxima applies those, and says so", async () => {
    const echo = await echoTool();
    const { url } = await openNode(toolShelf([echo]), { config: { security: "standard", maxima: { memory: "16Mi", output: "64Ki" } } });
    const nodes = named([{ url }]);
    const strict = createRuntime({ backend: remote({ nodes }), security: "standard", resources: { memory: "32Mi" } });
    const { limits } = await strict.execute({ tool: echo });
    expect(limits.find(({ limit }) => limit === "memory")).toMatchObject({ applied: 16 * 2 ** 20 });
    expect(limits.find(({ limit }) => limit === "output")).toMatchObject({ applied: 64 * 2 ** 10 });
    // What the caller asks for himself is refused as before.
    expect(await codeOf(strict.execute({ tool: echo, resources: { memory: "32Mi" } }))).toBe("ERR_POLICY_DENIED");
  });
});

describe("a node in a stricter profile with looser defaults", () => {
  it("holds this side's, and is no liar", async () => {
    const echo = await echoTool();
    const node = await openNode(toolShelf([echo]), { config: { security: "standard", resources: { output: "512Mi", timeout: "30m" } } });
    const { runtime, events } = open([node]);
    const { limits, backend } = await runtime.execute({ tool: echo });
    expect(backend).toMatchObject({ profile: "standard", via: "a" });
    expect(limits.find(({ limit }) => limit === "output")?.applied).toBeLessThan(512 * 2 ** 20);
    expect(events.map(({ state }) => state)).toEqual(["joined"]);
  });
});

describe("the lease of what is out", () => {
  const isRenewal = (url: string, { method }: RequestInit): boolean => method === "PUT" && url.includes("/v1/leases/");

  it("is renewed while runs are out, for all of them at once, and not after", { timeout: 20_000 }, async () => {
    const slow = await shellTool("slow", "sleep 3; echo done");
    const renewals: string[] = [];
    const leases = new Set<string | null>();
    const spy: Fetch = (url, init) => {
      if (isRenewal(url, init)) renewals.push(new URL(url).pathname);
      if (isPost(url, init)) leases.add(new Headers(init.headers).get("toolruntime-lease"));
      return fetch(url, init);
    };
    const { runtime } = await openFleet([slow], { fetch: spy, leaseMs: 1000 }, [{}]);
    await runtime.probe();
    const runs = await Promise.all([1, 2, 3, 4].map(() => runtime.execute({ tool: slow })));
    expect(runs.map(({ output }) => output)).toEqual(Array.from({ length: 4 }, () => "done\n"));
    expect([leases.size, new Set(renewals).size]).toEqual([1, 1]);
    expect(renewals[0]).toBe(`/v1/leases/${[...leases][0]}`);
    // One for each third of a second, whatever the number of runs; more would be one for each.
    expect(renewals.length).toBeGreaterThan(3);
    expect(renewals.length).toBeLessThan(16);
    const before = renewals.length;
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(renewals.length).toBe(before);
  });

  it("ends them where no renewal comes through, and the caller is told", { timeout: 20_000 }, async () => {
    const slow = await shellTool("slow", "echo begun; sleep 30");
    let renewals = 0;
    const lost: Fetch = (url, init) => {
      if (!isRenewal(url, init) || renewals++ === 0) return fetch(url, init);
      return new Promise((_resolve, reject) => init.signal?.addEventListener("abort", () => reject(new Error("lost"))));
    };
    const { runtime, nodes } = await openFleet([slow], { fetch: lost, leaseMs: 1000 }, [{}]);
    const error = await errorOf(runtime.execute({ tool: slow }));
    expect(error).toMatchObject({ code: "ERR_LEASE_EXPIRED", started: true, partial: { stdout: "begun\n" }, details: { via: "a" } });
    const [node] = nodes;
    expect(node === undefined ? [] : (await executionsOf(node.service)).map(({ status }) => status)).toEqual(["ended"]);
  });
});

describe("nodes that say how busy they are", () => {
  it("get runs by that, whoever has sent what they run", { timeout: 20_000 }, async () => {
    const [slow, echo] = [await shellTool("slow", "sleep 3"), await echoTool()];
    const places = { config: { concurrency: { running: 4, queued: 8 } } };
    const { runtime, nodes } = await openFleet([slow, echo], {}, [places, places]);
    // Runs that come from elsewhere.
    const other = open(nodes.slice(0, 1));
    const begun = Promise.withResolvers<void>();
    const runs = [1, 2, 3].map(() => other.runtime.execute({ tool: slow }, { onEvent: () => begun.resolve() }));
    await begun.promise;
    await until(
      async () => {
        const { via } = (await runtime.execute({ tool: echo })).backend;
        return via === "b";
      },
      5000,
      "the idle one is chosen",
    );
    for (let index = 0; index < 5; index++) expect((await runtime.execute({ tool: echo })).backend.via).toBe("b");
    await Promise.all(runs);
  });
});

describe("a place that a full node keeps", () => {
  it("is for who comes again with its ticket, at the node that gave it", { timeout: 20_000 }, async () => {
    const slow = await shellTool("slow", "sleep 1");
    const full = { config: { concurrency: { running: 1, queued: 0 } } };
    const tickets: (string | null)[] = [];
    const spy: Fetch = (url, init) => {
      if (isPost(url, init)) tickets.push(new Headers(init.headers).get("toolruntime-ticket"));
      return fetch(url, init);
    };
    const { runtime } = await openFleet([slow], { fetch: spy }, [full]);
    await runtime.probe();
    const first = runtime.execute({ tool: slow });
    const error = await errorOf(runtime.execute({ tool: slow }));
    const { ticket, retryAfterMs } = error.details;
    expect([error.code, typeof ticket]).toEqual(["ERR_QUEUE_FULL", "string"]);
    await first;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, Number(retryAfterMs) - 1000)));
    expect((await runtime.execute({ tool: slow }, { ticket: String(ticket) })).exitCode).toBe(0);
    // The node gets what it gave, without the mark that says whose it is.
    expect(String(ticket).endsWith(`.${tickets.at(-1)}`)).toBe(true);
    expect((await runtime.execute({ tool: slow }, { ticket: "00000000.other" })).exitCode).toBe(0);
    expect(tickets.at(-1)).toBeNull();
  });
});
