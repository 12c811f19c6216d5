import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { folderBlobStore } from "../../src/adapters/executor/blobs/index.ts";
import type { RemoteOptions } from "../../src/adapters/remote/index.ts";
import type { Fetch } from "../../src/client.ts";
import { createRuntime, memoryBlobStore, type BlobStore, type Tool } from "../../src/index.ts";
import { shellTool, until } from "../edge/support.ts";
import { errorOf } from "../unit/support.ts";
import { openNode, remoteTo, toolShelf } from "./support.ts";

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-files-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "blobs");
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

interface Opening {
  readonly tools: readonly Tool[];
  readonly blobs?: BlobStore;
  readonly remote?: Partial<RemoteOptions>;
}

/** A node that keeps its files in a folder, and a runtime that shares nothing with it. Each request to the node is counted. */
async function open({ tools, blobs = memoryBlobStore(), remote = {} }: Opening) {
  const asked: string[] = [];
  const fetchOf = remote.fetch ?? fetch;
  const counting: Fetch = (url, init) => {
    if (url.includes("/v1/blobs")) asked.push(`${init.method} ${new URL(url).pathname.replace(/sha256.*/, "…")}`);
    return fetchOf(url, init);
  };
  const config = { backends: { unsafe: { acceptUnsafe: true } }, blobs: { folder: newFolder() } };
  const node = await openNode(toolShelf(tools), { config });
  const runtime = createRuntime({ security: "dev", blobs, backend: remoteTo(node.url, { ...remote, fetch: counting }) });
  return { runtime, asked, node, blobs };
}

describe("output files", () => {
  it("come from the node's folder into the store here, each once, by digest", async () => {
    const make = await shellTool("make", "head -c 9000000 /dev/zero > out/big; printf small > out/small; : > out/empty");
    const { runtime, asked, blobs, node } = await open({ tools: [make], blobs: await folderBlobStore({ folder: newFolder() }) });
    const { files } = await runtime.execute({ tool: make });
    const expected = { big: new Uint8Array(9_000_000), empty: new Uint8Array(0), small: new TextEncoder().encode("small") };
    expect(files).toEqual(Object.entries(expected).map(([path, bytes]) => ({ path, digest: digestOf(bytes), size: bytes.length })));
    for (const { digest } of files) expect(digestOf((await blobs.get(digest)) ?? randomBytes(1))).toBe(digest);
    for (const { digest } of files) expect(await node.service.blobs.get(digest)).toBeDefined();
    expect(asked).toEqual(["GET /v1/blobs/…", "GET /v1/blobs/…", "GET /v1/blobs/…"]);
  });

  it("are not kept where they are others, longer or shorter than was said", async () => {
    const make = await shellTool("make", "printf hello > out/made");
    for (const body of ["hallo", "hello!", "hell", ""]) {
      const swapped: Fetch = async (url, init) => (url.includes("/v1/blobs/") ? new Response(body) : fetch(url, init));
      const { runtime, blobs } = await open({ tools: [make], remote: { fetch: swapped } });
      const error = await errorOf(runtime.execute({ tool: make }));
      expect([body, error.code, error.started]).toEqual([body, "ERR_ANSWER_INVALID", true]);
      expect(await blobs.get(digestOf(new TextEncoder().encode(body)))).toBeUndefined();
    }
  });

  it("end in a typed error where the node falls silent in the middle, or the connection breaks", async () => {
    const make = await shellTool("make", "head -c 100000 /dev/zero > out/made");
    for (const [body, code] of [
      [new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new Uint8Array(10)) }), "ERR_CONNECTION_FAILED"],
      [
        new ReadableStream<Uint8Array>({
          pull(controller) {
            controller.enqueue(new Uint8Array(10));
            controller.error(new Error("reset"));
          },
        }),
        "ERR_CONNECTION_FAILED",
      ],
    ] as const) {
      const broken: Fetch = async (url, init) => (url.includes("/v1/blobs/") ? new Response(body) : fetch(url, init));
      const { runtime } = await open({ tools: [make], remote: { fetch: broken, silenceMs: 1000 } });
      expect((await errorOf(runtime.execute({ tool: make }))).code).toBe(code);
    }
  });

  it("do not hold up a run that is ended while they come", async () => {
    const make = await shellTool("make", "head -c 100000 /dev/zero > out/made");
    let isCancelled = false;
    const cut = new AbortController();
    const endless = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          controller.enqueue(new Uint8Array(10));
          cut.abort();
          return new Promise(() => undefined);
        },
        cancel() {
          isCancelled = true;
        },
      },
      // Nothing is read before somebody reads.
      { highWaterMark: 0 },
    );
    const stuck: Fetch = async (url, init) => (url.includes("/v1/blobs/") ? new Response(endless) : fetch(url, init));
    const folder = newFolder();
    const { runtime } = await open({ tools: [make], blobs: await folderBlobStore({ folder }), remote: { fetch: stuck } });
    expect((await errorOf(runtime.execute({ tool: make }, { signal: cut.signal }))).code).toBe("ERR_ABORTED");
    expect(isCancelled).toBe(true);
    await until(() => readdirSync(join(folder, "incoming")).length === 0, 5000, "nothing is left of what was not read to its end");
  });

  it("are refused beyond what this side takes, before a byte of them is asked for", async () => {
    const make = await shellTool("make", "head -c 2000 /dev/zero > out/made");
    const { runtime, asked } = await open({ tools: [make], remote: { maxOutputBytes: 1999 } });
    expect((await errorOf(runtime.execute({ tool: make }))).code).toBe("ERR_LIMIT_DISK");
    expect(asked).toEqual([]);
  });

  it("are too large for the store here in words of the limit", async () => {
    const make = await shellTool("make", "head -c 2000 /dev/zero > out/made");
    const { runtime } = await open({ tools: [make], blobs: memoryBlobStore({ maxBlobBytes: 1999 }) });
    expect((await errorOf(runtime.execute({ tool: make }))).code).toBe("ERR_LIMIT_DISK");
  });
});

describe("input files", () => {
  const big = new Uint8Array(3_000_000).fill(7);

  it("that are large go to the node once, and are read there from its folder", async () => {
    const size = await shellTool("size", "wc -c < big; sha256sum < big");
    const { runtime, asked, blobs } = await open({ tools: [size], blobs: await folderBlobStore({ folder: newFolder() }) });
    const { digest } = await blobs.put(big);
    for (let at = 0; at < 3; at++) {
      const { stdout } = await runtime.execute({ tool: size, files: { big: { digest } } });
      expect(stdout).toBe(`3000000\n${digest.slice("sha256:".length)}  -\n`);
    }
    expect(asked).toEqual(["HEAD /v1/blobs/…", "POST /v1/blobs", "HEAD /v1/blobs/…", "HEAD /v1/blobs/…"]);
  });

  it("of every kind and size stand at their paths", async () => {
    const all = await shellTool("all", 'find . -type f -not -path "./tmp/*" | sort | while read -r name; do sha256sum "$name"; done');
    const { runtime, blobs } = await open({ tools: [all] });
    const { digest } = await blobs.put(new TextEncoder().encode("by digest"));
    const files = { a: "text", "b/c": big, d: new Blob([big, "x"]), e: new Blob(["streamed"]).stream(), f: { digest } };
    const { stdout } = await runtime.execute({ tool: all, files });
    const sums = [
      new TextEncoder().encode("text"),
      big,
      Buffer.concat([big, Buffer.from("x")]),
      Buffer.from("streamed"),
      Buffer.from("by digest"),
    ];
    expect(
      stdout
        .split("\n")
        .map((line) => line.split(" ")[0])
        .filter((sum) => sum !== ""),
    ).toEqual(sums.map((bytes) => digestOf(bytes).slice("sha256:".length)));
  });
});
