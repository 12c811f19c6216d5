import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createService, parseConfig, type Service } from "../../src/adapters/executor/index.ts";
import { createRegistry, defineTool } from "../../src/index.ts";
import { sha256 } from "../../src/internal/digest.ts";
import { backendListSchema, resultSchema } from "../../src/wire.ts";
import { writeIsolateBundle } from "../../scripts/isolate-bundle.ts";
import { problemOf, standardVars, TestWorker } from "./support.ts";
import { guestBytes, guestTool, manifestOf } from "./tools.ts";

async function notesOf(worker: TestWorker): Promise<string> {
  const { backends } = backendListSchema.parse(await (await worker.get("/v1/backends", "alice")).json());
  return backends.flatMap(({ notes = [] }) => notes).join("\n");
}

/** Manifests of tools that were not deployed with the worker. */
async function stored() {
  const bytes = await guestBytes("echo");
  return {
    bytes,
    digest: await sha256(bytes),
    wasm: { ...manifestOf("stored"), artifacts: { wasm: { digest: await sha256(bytes) } } },
    command: { ...manifestOf("shell"), artifacts: { command: { argv: ["cat"] } } },
    large: { ...manifestOf("large"), artifacts: { command: { argv: ["sh", "-c", "cat; head -c 20971520 /dev/zero > out/large"] } } },
  };
}

describe("mode dynamic", () => {
  let worker: TestWorker;
  beforeAll(async () => {
    await writeIsolateBundle(new URL("../../src/wasm/loader/", import.meta.url));
    worker = await TestWorker.open({ isDynamic: true });
    const { bytes, digest, wasm } = await stored();
    await worker.putObject(`blobs/${digest}`, bytes);
    const other = { ...manifestOf("swapped"), artifacts: { wasm: { digest: await sha256("the right bytes") } } };
    await worker.putObject(`blobs/${other.artifacts.wasm.digest}`, bytes);
    const missing = { ...manifestOf("missing"), artifacts: { wasm: { digest: await sha256("nowhere") } } };
    await worker.putObject("tools.json", JSON.stringify([wasm, other, missing]));
  });
  afterAll(() => worker?.[Symbol.asyncDispose]());

  it("runs tools of the bucket in isolates of their own, and those of the deployment in the worker", async () => {
    const result = resultSchema.parse(await (await worker.run({ tool: "stored", input: { text: "hello" } })).json());
    expect(result).toMatchObject({ stdout: '{"text":"hello"}', backend: { isolation: "isolate" } });
    expect(resultSchema.parse(await (await worker.run({ tool: "echo" })).json())).toMatchObject({ backend: { isolation: "wasm" } });
    const notes = await notesOf(worker);
    for (const mode of ["static", "dynamic"]) expect(notes).toContain(`Mode ${mode}`);
    expect(notes).not.toContain("Mode forward");
  });

  it("takes no bytes that are others than the manifest says, and says where some are missing", async () => {
    expect(await problemOf(await worker.run({ tool: "swapped" }))).toMatchObject({ code: "ERR_DIGEST_MISMATCH", started: false });
    expect(await problemOf(await worker.run({ tool: "missing" }))).toMatchObject({ code: "ERR_ARTIFACT_INVALID", started: false });
  });

  it("refuses profile hardened", async () => {
    const problem = await problemOf(await worker.run({ tool: "stored", security: "hardened" }));
    expect(problem).toMatchObject({ code: "ERR_PROFILE_UNSUPPORTED", started: false });
  });
});

describe("mode forward", () => {
  let worker: TestWorker;
  let node: Service;
  const nodeToken = "node-0123456789abcdef";

  beforeAll(async () => {
    const { wasm, command, large, bytes } = await stored();
    const tools = [await defineTool(wasm, { wasm: bytes }), await defineTool(command), await defineTool(large), await guestTool("echo")];
    node = await createService({
      config: parseConfig({
        port: 0,
        security: "dev",
        backends: { wasm: { process: {} }, unsafe: { acceptUnsafe: true } },
        tokens: [{ token: nodeToken, principal: "worker" }],
        graceMs: 0,
        log: { level: "silent" },
      }),
      tools: createRegistry(tools),
    });
    const { url } = await node.listen();
    const vars = { ...standardVars, TOOLRUNTIME_SECURITY: "dev", TOOLRUNTIME_NODES: JSON.stringify([{ url, token: nodeToken }]) };
    worker = await TestWorker.open({ vars });
    await worker.putObject("tools.json", JSON.stringify([wasm, command, large]));
  });
  afterAll(async () => {
    await worker?.[Symbol.asyncDispose]();
    await node?.close();
  });

  it("sends to a node what has no place in the worker", async () => {
    expect(await notesOf(worker)).toContain("Mode forward");
    const tools = { stored: "wasm", shell: "none" };
    for (const [tool, isolation] of Object.entries(tools)) {
      const result = resultSchema.parse(await (await worker.run({ tool, input: { text: "hello" } })).json());
      expect(result).toMatchObject({ stdout: '{"text":"hello"}', backend: { isolation, via: expect.any(String) } });
    }
    const own = resultSchema.parse(await (await worker.run({ tool: "echo" })).json());
    expect(own.backend).not.toHaveProperty("via");
  });

  it("passes files of a node into the bucket as they come, also those that it would not hold in memory", async () => {
    const result = resultSchema.parse(await (await worker.run({ tool: "large", input: {} })).json());
    const bytes = new Uint8Array(20 * 2 ** 20);
    const digest = await sha256(bytes);
    expect(result.files).toEqual([{ path: "large", digest, size: bytes.length }]);
    const path = `/v1/blobs/${digest}`;
    const whole = await worker.get(path, "alice");
    expect([whole.status, whole.headers.get("content-length")]).toEqual([200, String(bytes.length)]);
    expect(await sha256(new Uint8Array(await whole.arrayBuffer()))).toBe(digest);
    const head = await worker.send("HEAD", path, { who: "alice" });
    expect([head.status, head.headers.get("etag"), (await head.arrayBuffer()).byteLength]).toEqual([200, `"${digest}"`, 0]);
    const part = await worker.send("GET", path, { who: "alice", headers: { range: "bytes=20971515-" } });
    expect([part.status, part.headers.get("content-range")]).toEqual([206, "bytes 20971515-20971519/20971520"]);
    expect((await part.arrayBuffer()).byteLength).toBe(5);
  });

  it("runs profile hardened where a node serves it", async () => {
    const result = resultSchema.parse(await (await worker.run({ tool: "echo", security: "hardened" })).json());
    expect(result.backend).toMatchObject({ profile: "hardened", isolation: "wasm-process", via: expect.any(String) });
  });

  it("names the nodes where none of them takes a task either", async () => {
    const problem = await problemOf(await worker.run({ tool: "shell", security: "hardened" }));
    expect(problem).toMatchObject({ status: 409, started: false });
    expect(problem.detail).toContain("none of http://127.0.0.1:");
  });
});
