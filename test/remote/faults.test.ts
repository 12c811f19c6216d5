import { describe, expect, it, onTestFinished } from "vitest";
import { remote, type RemoteOptions } from "../../src/adapters/remote/index.ts";
import { createRuntime, type Runtime, type Tool, type ToolRuntimeError } from "../../src/index.ts";
import { echoTool, shellTool, until } from "../edge/support.ts";
import { errorOf } from "../unit/support.ts";
import { openFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { answeringFetch, lyingFetch } from "./lying.ts";
import { closedUrl, executionsOf, nodeToken, openNode, remoteTo, toolShelf, type ExecutorNode } from "./support.ts";

const config = { backends: { wasm: {}, unsafe: { acceptUnsafe: true } } } as const;

function open(url: string, options: Partial<RemoteOptions> = {}): Runtime {
  return createRuntime({ security: "dev", backend: remoteTo(url, options) });
}

interface Broken {
  readonly node: ExecutorNode;
  readonly proxy: FaultProxy;
  /** Has asked the node what it has, before anything is broken. */
  readonly runtime: Runtime;
}

/** A node behind a link that can be broken. */
async function openBroken(tool: Tool, options: Partial<RemoteOptions> = {}): Promise<Broken> {
  const node = await openNode(toolShelf([tool]), { config });
  const proxy = await openFaultProxy(node.port);
  onTestFinished(() => proxy.close());
  const runtime = open(proxy.url, options);
  await runtime.probe();
  return { node, proxy, runtime };
}

/** The error of one run of a tool on a real node whose words are changed. */
async function lie(tool: Tool, change: Parameters<typeof lyingFetch>[0], task: object = {}): Promise<ToolRuntimeError> {
  const node = await openNode(toolShelf([tool]), { config });
  return errorOf(open(node.url, { fetch: lyingFetch(change) }).execute({ tool, ...task }));
}

describe("a node that cannot be reached", () => {
  it("is ERR_BACKEND_UNAVAILABLE, and a note of the probe says why", async () => {
    const runtime = open(await closedUrl());
    const error = await errorOf(runtime.execute({ tool: await echoTool() }));
    expect(error).toMatchObject({ code: "ERR_BACKEND_UNAVAILABLE", started: false, backend: "remote" });
    expect(error.message).toContain("ECONNREFUSED");
    const [probe] = await runtime.probe();
    expect(probe).toMatchObject({ status: "unavailable", capabilities: [] });
  });

  it("that has gone since it was asked is ERR_CONNECTION_FAILED, and the tool has not started", async () => {
    const echo = await echoTool();
    const { proxy, runtime } = await openBroken(echo);
    await proxy.close();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await errorOf(runtime.execute({ tool: echo }))).toMatchObject({
      code: "ERR_CONNECTION_FAILED",
      started: false,
      details: { reason: "ECONNREFUSED", via: "a" },
    });
  });

  it("that does not take the token is ERR_BACKEND_UNAVAILABLE, not the caller's 401", async () => {
    const echo = await echoTool();
    const { url } = await openNode(toolShelf([echo]));
    const refused = await errorOf(
      createRuntime({ security: "dev", backend: remote({ nodes: [{ url, token: "another-0123456789" }] }) }).execute({ tool: echo }),
    );
    expect(refused).toMatchObject({ code: "ERR_BACKEND_UNAVAILABLE", started: false });
    expect(refused.message).not.toContain("another-0123456789");
    let isRevoked = false;
    const nodes = [{ url, name: "a", token: () => (isRevoked ? "another-0123456789" : nodeToken) }];
    const runtime = createRuntime({ security: "dev", backend: remote({ nodes }) });
    await runtime.execute({ tool: echo });
    isRevoked = true;
    expect(await errorOf(runtime.execute({ tool: echo }))).toMatchObject({
      code: "ERR_BACKEND_UNAVAILABLE",
      started: false,
      details: { nodeCode: "ERR_UNAUTHORIZED", via: "a" },
    });
  });

  it("that does not have the tool is ERR_BACKEND_UNAVAILABLE, not the caller's 404", async () => {
    const { url } = await openNode(toolShelf());
    expect(await errorOf(open(url).execute({ tool: await echoTool() }))).toMatchObject({
      code: "ERR_BACKEND_UNAVAILABLE",
      details: { nodeCode: "ERR_TOOL_NOT_FOUND" },
    });
  });

  it("that is full is ERR_QUEUE_FULL with its advice", async () => {
    const slow = await shellTool("slow", "echo begun; sleep 30");
    const node = await openNode(toolShelf([slow]), { config: { ...config, concurrency: { running: 1, queued: 0 } } });
    const runtime = open(node.url);
    const controller = new AbortController();
    const begun = Promise.withResolvers<void>();
    const first = errorOf(runtime.execute({ tool: slow }, { signal: controller.signal, onEvent: () => begun.resolve() }));
    await begun.promise;
    expect(await errorOf(runtime.execute({ tool: slow }))).toMatchObject({
      code: "ERR_QUEUE_FULL",
      started: false,
      retryable: true,
      details: { retryAfterMs: expect.any(Number) as number, via: "a" },
    });
    controller.abort();
    await first;
  });
});

describe("a link that breaks", () => {
  it("at any place gives the whole result or ERR_CONNECTION_FAILED, and never a part of it", { timeout: 60_000 }, async () => {
    const speaks = await shellTool("speaks", "echo one; echo two >&2; echo three");
    const { node, proxy, runtime } = await openBroken(speaks);
    const whole = await runtime.execute({ tool: speaks });
    const seen = new Set<string>();
    for (let afterBytes = 0; afterBytes <= 4000; afterBytes += 100) {
      proxy.cutAll();
      proxy.set({ kind: afterBytes % 200 === 0 ? "cut" : "end", afterBytes });
      const outcome = await runtime.execute({ tool: speaks }).then(
        ({ output }) => output,
        (error: ToolRuntimeError) => `${error.code} ${error.started} ${error.details["via"]}`,
      );
      seen.add(String(outcome));
    }
    expect([...seen].toSorted()).toEqual(["ERR_CONNECTION_FAILED true a", whole.output].toSorted());
    await until(async () => (await executionsOf(node.service)).every(({ status }) => status === "ended"), 10_000, "all runs are over");
  });

  it("in the middle of a run ends it on the node, with what had come here", async () => {
    const slow = await shellTool("slow", "echo begun; sleep 30");
    const { node, proxy, runtime } = await openBroken(slow);
    const onEvent = ({ type }: { readonly type: string }): void => {
      if (type === "stdout") proxy.cutAll();
    };
    const error = await errorOf(runtime.execute({ tool: slow }, { onEvent }));
    expect(error).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: true, retryable: true, partial: { stdout: "begun\n" } });
    await until(async () => (await executionsOf(node.service)).every(({ status }) => status === "ended"), 10_000, "the run is over");
  });

  it("does not send a run that may have started to another node", async () => {
    const slow = await shellTool("slow", "echo begun; sleep 30");
    const { proxy } = await openBroken(slow);
    const other = await openNode(toolShelf([slow]), { config });
    const nodes = [proxy.url, other.url].map((url, index) => ({ url, token: nodeToken, name: `${index}` }));
    const runtime = createRuntime({ security: "dev", backend: remote({ nodes, random: () => 0 }) });
    await runtime.probe();
    proxy.cutAll();
    proxy.set({ kind: "cut", afterBytes: 1 });
    expect(await errorOf(runtime.execute({ tool: slow }))).toMatchObject({
      code: "ERR_CONNECTION_FAILED",
      started: true,
      details: { via: "0" },
    });
    expect(await executionsOf(other.service)).toEqual([]);
  });

  it("without a word is found out by the silence", async () => {
    const slow = await shellTool("slow", "echo begun; sleep 30");
    const { proxy, runtime } = await openBroken(slow, { silenceMs: 1000 });
    proxy.cutAll();
    proxy.set({ kind: "hang", afterBytes: 700 });
    expect(await errorOf(runtime.execute({ tool: slow }))).toMatchObject({
      code: "ERR_CONNECTION_FAILED",
      started: true,
      details: { idleMs: 1000 },
    });
    proxy.cutAll();
    proxy.set({ kind: "hang", afterBytes: 0 });
    expect(await errorOf(runtime.execute({ tool: slow }))).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: true });
  });

  it("while its run is being ended does not keep the caller", async () => {
    const slow = await shellTool("slow", "echo begun; sleep 30");
    const { proxy, runtime } = await openBroken(slow);
    const controller = new AbortController();
    const onEvent = ({ type }: { readonly type: string }): void => {
      if (type !== "stdout") return;
      proxy.set({ kind: "refuse" });
      proxy.cutAll();
      controller.abort();
    };
    expect(await errorOf(runtime.execute({ tool: slow }, { signal: controller.signal, onEvent }))).toMatchObject({
      code: "ERR_ABORTED",
      started: true,
    });
  });
});

describe("something else that answers", () => {
  const html = (status: number): Response => new Response("<h1>secret</h1>", { status, headers: { "content-type": "text/html" } });

  it.for([
    ["a page", () => html(200), "ERR_ANSWER_INVALID", true],
    ["a page that says that there is nothing", () => html(404), "ERR_ANSWER_INVALID", false],
    ["a proxy that has lost the node", () => html(502), "ERR_CONNECTION_FAILED", true],
    ["a proxy that limits the rate", () => html(429), "ERR_CONNECTION_FAILED", false],
    [
      "a redirect",
      () => new Response(null, { status: 302, headers: { location: "http://elsewhere.example" } }),
      "ERR_ANSWER_INVALID",
      false,
    ],
    ["JSON in place of a stream", () => Response.json({ id: "x" }), "ERR_ANSWER_INVALID", true],
    [
      "a problem that is none",
      () => Response.json({}, { status: 500, headers: { "content-type": "application/problem+json" } }),
      "ERR_ANSWER_INVALID",
      true,
    ],
  ] as const)("%s", async ([, answer, code, started]) => {
    const echo = await echoTool();
    const { url } = await openNode(toolShelf([echo]));
    const error = await errorOf(open(url, { fetch: answeringFetch(answer) }).execute({ tool: echo }));
    expect(error).toMatchObject({ code, started });
    expect(JSON.stringify(error)).not.toContain("secret");
  });

  it("without end is cut off", async () => {
    const echo = await echoTool();
    const { url } = await openNode(toolShelf([echo]));
    let sent = 0;
    const endless = (): Response =>
      new Response(
        new ReadableStream({
          pull(controller) {
            sent += 2 ** 20;
            controller.enqueue(new Uint8Array(2 ** 20).fill(0x20));
          },
        }),
        { headers: { "content-type": "application/x-ndjson" } },
      );
    const task = { tool: echo, resources: { output: 100_000 } };
    const error = await errorOf(open(url, { fetch: answeringFetch(endless) }).execute(task));
    expect(error).toMatchObject({ code: "ERR_ANSWER_INVALID", started: true });
    expect(sent).toBeLessThan(8 * 2 ** 20);
  });
});

describe("a node that lies", () => {
  it.for([
    [
      "accepts another tool",
      "accepted",
      (event: object) => ({ ...event, tool: { name: "echo", version: "1.0.0", digest: `sha256:${"0".repeat(64)}` } }),
    ],
    ["gives another run's result", "result", (event: { result?: object }) => ({ ...event, result: { ...event.result, id: "ex_other" } })],
    ["numbers events as it likes", "result", (event: object) => ({ ...event, seq: 0 })],
    ["leaves out the limits", "result", (event: { result?: object }) => ({ ...event, result: { ...event.result, limits: [] } })],
    ["speaks of limits in words", "result", (event: { result?: object }) => ({ ...event, result: { ...event.result, limits: "all" } })],
    ["says nothing of the tool's start", "started", () => ({ type: "heartbeat" })],
    ["names the bytes wrong", "stdout", (event: object) => ({ type: "stdout", seq: 2, base64: "%%%", ...("id" in event ? {} : {}) })],
  ] as const)("and %s", async ([, type, change]) => {
    const speaks = await shellTool("speaks", "echo one");
    const error = await lie(speaks, (event) => [event["type"] === type ? (change(event) as Record<string, unknown>) : event]);
    expect(error).toMatchObject({ code: "ERR_ANSWER_INVALID", started: true, details: { via: "a" } });
  });

  it("and sends broken JSON", async () => {
    const error = await lie(await echoTool(), (event) => [event["type"] === "result" ? '{"type":"result"\n' : event]);
    expect(error).toMatchObject({ code: "ERR_ANSWER_INVALID", started: true });
  });

  it("and gives a result after an error", async () => {
    const fails = await shellTool("fails", "sleep 30");
    const result = { type: "result", seq: 90, result: {} };
    const error = await lie(fails, (event) => (event["type"] === "error" ? [event, result] : [event]), { resources: { timeout: 200 } });
    // The first ending is the one that counts.
    expect(error.code).toBe("ERR_LIMIT_TIMEOUT");
  });

  it("and ends its answer before the run's end", async () => {
    const error = await lie(await echoTool(), (event) => (event["type"] === "result" || event["type"] === "end" ? [] : [event]));
    expect(error).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: true });
  });

  it("and gives a second result", async () => {
    const error = await lie(await echoTool(), (event) => (event["type"] === "result" ? [event, { ...event, seq: 90 }] : [event]));
    expect(error.code).toBe("ERR_ANSWER_INVALID");
  });

  it("and sends more than the tool may write", async () => {
    const speaks = await shellTool("speaks", "echo one");
    const more = Array.from({ length: 100 }, (_, index) => ({ type: "stdout", seq: index + 10, text: "x".repeat(1000) }));
    const error = await lie(speaks, (event) => (event["type"] === "stdout" ? [event, ...more] : [event]), { resources: { output: 5000 } });
    expect(error).toMatchObject({ code: "ERR_LIMIT_OUTPUT", details: { limit: "output", value: 5000 } });
    expect(error.partial?.stdout.length).toBe(5000);
    expect(error.partial?.limits.find(({ limit }) => limit === "output")).toMatchObject({ applied: 5000, hit: "yes", source: "counter" });
  });

  it("and ran the tool in a weaker profile, or under a looser limit", async () => {
    const echo = await echoTool();
    const { url } = await openNode(toolShelf([echo]));
    const change = (key: string, value: unknown) => (event: Record<string, unknown>) => {
      if (event["type"] !== "result") return [event];
      return [JSON.parse(JSON.stringify(event), (name, old: unknown) => (name === key ? value : old)) as Record<string, unknown>];
    };
    for (const [key, value] of [
      ["profile", "dev"],
      ["isolation", "none"],
      ["applied", 1e15],
      ["enforcedBy", "none"],
    ] as const) {
      const backend = remoteTo(url, { fetch: lyingFetch(change(key, value)) });
      const error = await errorOf(createRuntime({ security: "standard", backend }).execute({ tool: echo }));
      expect([key, error.code, error.started]).toEqual([key, "ERR_ANSWER_INVALID", true]);
    }
  });

  it("and hands back other bytes than it named, or a path that leads elsewhere", async () => {
    const saves = await shellTool("saves", "echo made > out/made");
    const rename = await lie(saves, (event) => [
      JSON.parse(JSON.stringify(event), (key, value: unknown) => (key === "path" ? "../../made" : value)) as Record<string, unknown>,
    ]);
    expect(rename.code).toBe("ERR_ANSWER_INVALID");
    const node = await openNode(toolShelf([saves]), { config });
    const swapped: NonNullable<RemoteOptions["fetch"]> = async (url, init) =>
      url.includes("/v1/blobs/") ? new Response("fake\n") : fetch(url, init);
    expect((await errorOf(open(node.url, { fetch: swapped }).execute({ tool: saves }))).code).toBe("ERR_ANSWER_INVALID");
  });
});
