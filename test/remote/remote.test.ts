import { describe, expect, it } from "vitest";
import { remote, type RemoteOptions } from "../../src/adapters/remote/index.ts";
import { createRuntime, defineTool, type RuntimeOptions, type Runtime, type Tool } from "../../src/index.ts";
import { echoTool, shellTool, until } from "../edge/support.ts";
import { codeOf, errorOf } from "../unit/support.ts";
import { closedUrl, executionsOf, nodeToken, openNode, remoteTo, toolShelf, type ExecutorNode } from "./support.ts";

const withUnsafe = { config: { backends: { wasm: {}, unsafe: { acceptUnsafe: true } } } } as const;

function open(url: string, options: Partial<RemoteOptions> = {}, runtime: Partial<RuntimeOptions> = {}): Runtime {
  return createRuntime({ security: "dev", ...runtime, backend: remoteTo(url, options) });
}

async function nodeWith(...tools: readonly Tool[]): Promise<ExecutorNode> {
  return openNode(toolShelf(tools), withUnsafe);
}

describe("the remote backend", () => {
  it("gives the node's result with its receipts as they are, and the node's name", async () => {
    const echo = await echoTool();
    const { url, service } = await nodeWith(echo);
    const result = await open(url).execute({ tool: echo, input: { text: "hällo" }, resources: { timeout: "5s" } }, { id: "mine" });
    expect(result).toMatchObject({
      id: "mine",
      output: { text: "hällo" },
      exitCode: 0,
      backend: { name: "wasm", isolation: "wasm", profile: "dev", via: "a" },
    });
    const [record] = await executionsOf(service);
    const there = JSON.parse(record?.outcome?.json ?? "{}") as { limits: unknown; duration: number; id: string };
    expect(result.limits).toEqual(there.limits);
    expect(result.limits.find(({ limit }) => limit === "timeout")).toMatchObject({ requested: 5000, enforcedBy: "checkpoint" });
    expect(result.duration).toBe(there.duration);
    expect(there.id).not.toBe("mine");
  });

  it("declares what its nodes declare", async () => {
    const { url, service } = await nodeWith();
    const [probe] = await open(url).probe();
    const nodes = await service.runtime.probe();
    expect(probe).toMatchObject({ backend: "remote", status: "ready" });
    expect(probe?.capabilities).toEqual(nodes.flatMap(({ capabilities }) => capabilities));
    expect(probe?.notes?.join()).toContain('The node "a" is in profile "dev": wasm ready, unsafe ready');
    expect(probe?.validForMs).toBeLessThanOrEqual(30_000);
  });

  it("passes a node's limit on as the same error, with the node's receipts and what came here", async () => {
    const slow = await shellTool("slow", "echo begun; echo why >&2; sleep 30");
    const { url } = await nodeWith(slow);
    const error = await errorOf(open(url).execute({ tool: slow, resources: { timeout: "300ms" } }));
    expect(error).toMatchObject({
      code: "ERR_LIMIT_TIMEOUT",
      started: true,
      backend: "unsafe",
      details: { limit: "timeout", value: 300, via: "a" },
      partial: { stdout: "begun\n", stderr: "why\n" },
    });
    expect(error.partial?.limits.find(({ limit }) => limit === "timeout")).toMatchObject({ requested: 300, applied: 300, hit: "yes" });
  });

  it("ends the run on the node when it is aborted here, and settles when it is over there", async () => {
    const slow = await shellTool("slow", "echo begun; sleep 30");
    const { url, service } = await nodeWith(slow);
    const controller = new AbortController();
    const onEvent = ({ type }: { readonly type: string }): void => {
      if (type === "stdout") controller.abort();
    };
    const error = await errorOf(open(url).execute({ tool: slow }, { signal: controller.signal, onEvent }));
    expect(error).toMatchObject({ code: "ERR_ABORTED", started: true, partial: { stdout: "begun\n" } });
    expect(error.partial?.limits.length).toBeGreaterThan(3);
    const [record] = await executionsOf(service);
    expect(record).toMatchObject({ status: "ended", outcome: { status: 499 } });
  });

  it("ends a run that is aborted before the node has said its id", async () => {
    const slow = await shellTool("slow", "sleep 30");
    const { url, service } = await nodeWith(slow);
    const runtime = open(url);
    await runtime.probe();
    const controller = new AbortController();
    const run = errorOf(runtime.execute({ tool: slow }, { signal: controller.signal }));
    await until(async () => (await executionsOf(service)).length > 0, 5000, "the node has the run");
    controller.abort();
    expect((await run).code).toBe("ERR_ABORTED");
    expect((await executionsOf(service)).map(({ status }) => status)).toEqual(["ended"]);
  });

  it("sends the deadline as what is left of it", async () => {
    const slow = await shellTool("slow", "sleep 30");
    const { url } = await nodeWith(slow);
    const sent: string[] = [];
    const spy: NonNullable<RemoteOptions["fetch"]> = (to, init) => {
      const header = new Headers(init.headers).get("toolruntime-deadline");
      if (header !== null) sent.push(header);
      return fetch(to, init);
    };
    const error = await errorOf(open(url, { fetch: spy }).execute({ tool: slow }, { deadline: 700 }));
    expect(error).toMatchObject({ code: "ERR_DEADLINE", details: { deadlineMs: 700 } });
    expect(Number(sent[0])).toBeGreaterThan(700);
    expect(Number(sent[0])).toBeLessThanOrEqual(1700);
  });

  it("carries files in and out, small and large, whatever their names", async () => {
    const copy = await shellTool("copy", 'for f in "a \\"quoted\\" %22.txt" big; do cp "$f" "out/$f"; done');
    const { url } = await nodeWith(copy);
    const big = new Uint8Array(3 * 2 ** 20).map((_, index) => index % 251);
    const { files } = await open(url).execute({ tool: copy, files: { 'a "quoted" %22.txt': "small", big } });
    expect(files.map(({ path, size }) => [path, size]).toSorted()).toEqual([
      ['a "quoted" %22.txt', 5],
      ["big", big.length],
    ]);
  });

  it("leaves secrets to the node", async () => {
    const manifest = { name: "shows", version: "1.0.0", description: "Shows a secret", inputSchema: true } as const;
    const shows = await defineTool({
      ...manifest,
      permissions: { secrets: ["key"] },
      artifacts: { command: { argv: ["sh", "-c", 'printf %s "$KEY"'] } },
    });
    const { url } = await openNode(toolShelf([shows]), { ...withUnsafe, secrets: (name) => `node's ${name}` });
    const task = { tool: shows, env: { KEY: { secret: "key" } } };
    const asked: string[] = [];
    const runtime = open(url, {}, { secrets: (name) => `${asked.push(name)}` });
    expect((await runtime.execute(task)).output).toBe("node's key");
    expect(asked).toEqual([]);
  });

  it("runs in the node's profile where that is stricter, and asks for its own where it is not", async () => {
    const echo = await echoTool();
    const strict = await openNode(toolShelf([echo]), { config: { security: "standard" } });
    expect((await open(strict.url).execute({ tool: echo })).backend.profile).toBe("standard");
    const loose = await nodeWith(echo);
    const runtime = open(loose.url, {}, { security: "standard" });
    expect((await runtime.execute({ tool: echo })).backend.profile).toBe("standard");
  });

  it("takes the node's refusal where the node's policy is stricter", async () => {
    const echo = await echoTool();
    const { url } = await openNode(toolShelf([echo]), { config: { security: "standard", maxima: { memory: "16Mi" } } });
    const error = await errorOf(open(url, {}, { security: "standard" }).execute({ tool: echo, resources: { memory: "64Mi" } }));
    expect(error).toMatchObject({ code: "ERR_POLICY_DENIED", started: false, details: { via: "a" } });
  });

  it("refuses what no node can hold before anything is sent", async () => {
    const slow = await shellTool("slow", "sleep 1");
    const { url, service } = await nodeWith(slow);
    expect(await codeOf(open(url, {}, { security: "standard" }).execute({ tool: slow }))).toBe("ERR_PROFILE_UNSUPPORTED");
    expect(await executionsOf(service)).toEqual([]);
  });

  it("holds back the tool while its listener is busy", async () => {
    const loud = await shellTool("loud", "head -c 30000000 /dev/zero | tr '\\0' x; echo end >&2");
    const { url } = await nodeWith(loud);
    const ended = Promise.withResolvers<void>();
    let isHeld = true;
    let before = true;
    const run = open(url).execute(
      { tool: loud, resources: { output: "40M" } },
      {
        onEvent: async ({ type }) => {
          if (type === "stderr") ended.resolve();
          if (type !== "stdout" || !isHeld) return;
          isHeld = false;
          before = await Promise.race([ended.promise.then(() => false), new Promise<true>((resolve) => setTimeout(resolve, 800, true))]);
        },
      },
    );
    const result = await run;
    expect([before, result.stderr]).toEqual([true, "end\n"]);
    expect(result.limits.find(({ limit }) => limit === "output")).toMatchObject({ peak: 30_000_004 });
  });
});

describe("several nodes", () => {
  it("are tried one after the other where the tool has not started", async () => {
    const echo = await echoTool();
    const good = await nodeWith(echo);
    const nodes = [
      { url: await closedUrl(), token: nodeToken, name: "down" },
      { url: good.url, token: nodeToken, name: "good" },
    ];
    const runtime = createRuntime({ backend: remote({ nodes }), security: "dev" });
    expect((await runtime.execute({ tool: echo })).backend.via).toBe("good");
    const [probe] = await runtime.probe();
    expect(probe?.status).toBe("ready");
    expect(probe?.notes?.join()).toContain('The node "down" is out: Cannot reach the node "down"');
  });

  it("pass a task on from one that is full, or has gone since it was asked", async () => {
    const slow = await shellTool("slow", "echo run; sleep 1");
    const full = { config: { ...withUnsafe.config, concurrency: { running: 1, queued: 0 } } };
    const one = await openNode(toolShelf([slow]), full);
    const two = await openNode(toolShelf([slow]), full);
    const nodes = [
      { url: one.url, token: nodeToken, name: "one" },
      { url: two.url, token: nodeToken, name: "two" },
    ];
    const runtime = createRuntime({ backend: remote({ nodes }), security: "dev" });
    const both = await Promise.all([runtime.execute({ tool: slow }), runtime.execute({ tool: slow })]);
    expect(both.map(({ backend }) => backend.via).toSorted()).toEqual(["one", "two"]);
    await one.service.close();
    // A connection that is kept for the next request is known to be closed a moment later.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await runtime.execute({ tool: slow })).backend.via).toBe("two");
  });

  it("choose the one that has the tool", async () => {
    const echo = await echoTool();
    const without = await openNode(toolShelf());
    const having = await openNode(toolShelf([echo]));
    const nodes = [
      { url: without.url, token: nodeToken, name: "without" },
      { url: having.url, token: nodeToken, name: "having" },
    ];
    const runtime = createRuntime({ backend: remote({ nodes }), security: "dev" });
    expect((await runtime.execute({ tool: echo })).backend.via).toBe("having");
    expect(without.log.filter((line) => line.includes("POST"))).toEqual([]);
  });
});
