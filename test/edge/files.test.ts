import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { folderBlobStore } from "../../src/adapters/executor/blobs/index.ts";
import { sha256 } from "../../src/internal/digest.ts";
import type { WireResult } from "../../src/wire.ts";
import { bearer, openService, problemOf, tokens, until } from "./support.ts";

const scripts = {
  cat: "cat data/a.bin",
  size: "wc -c < big.bin",
  make: "printf hello > out/greeting.txt; mkdir out/d; head -c 100000 /dev/zero > out/d/zeros",
};

function form(task: unknown, files: Readonly<Record<string, Uint8Array | string>>): FormData {
  const data = new FormData();
  data.set("task", JSON.stringify(task));
  for (const [path, content] of Object.entries(files)) data.append(path, new Blob([content as Uint8Array<ArrayBuffer>]), "upload");
  return data;
}

describe("files inside of JSON", () => {
  it("come as base64, as text, and by digest", async () => {
    const { post, url } = await openService({}, scripts);
    const inline = async (file: unknown): Promise<unknown> =>
      ((await (await post({ tool: "cat", files: { "data/a.bin": file } })).json()) as WireResult).output;
    expect(await inline({ base64: btoa("bytes\0!") })).toBe("bytes\0!");
    expect(await inline({ text: "täxt" })).toBe("täxt");
    const uploaded = await fetch(`${url}/v1/blobs`, { method: "POST", body: "a blob" });
    expect(uploaded.status).toBe(201);
    const blob = (await uploaded.json()) as { digest: string; size: number };
    expect(blob).toEqual({ digest: await sha256("a blob"), size: 6 });
    expect(await inline({ digest: blob.digest })).toBe("a blob");
  });

  it.each([
    ["two kinds at once", { base64: "", text: "" }],
    ["no kind", {}],
    ["an unknown kind", { bytes: "" }],
    ["base64 of another alphabet", { base64: "_-8=" }],
    ["base64 with a line end", { base64: "AAAA\nAAAA" }],
    ["base64 without padding", { base64: "AA" }],
    ["a digest that is none", { digest: "sha256:1" }],
  ])("are refused with %s", async (_, file) => {
    const { post } = await openService();
    expect(await problemOf(await post({ tool: "echo", files: { a: file } }))).toMatchObject({ status: 400, code: "ERR_INPUT_INVALID" });
  });

  it.each(["../a", "/a", "a/../b", "a//b", "", "a\\b", "a\u0000b", "out/a", "tmp/a", "__proto__"])(
    "are refused with the path %j",
    async (path) => {
      const { post } = await openService();
      const body = `{"tool":"echo","files":{${JSON.stringify(path)}:{"text":""}}}`;
      expect(await problemOf(await post(body))).toMatchObject({ status: 400, code: "ERR_INPUT_INVALID" });
    },
  );

  it("are at most 1 MiB together, however they are cut", async () => {
    const { post } = await openService();
    const half = "x".repeat(2 ** 19);
    expect((await post({ tool: "echo", files: { a: { text: half }, b: { text: half } } })).status).toBe(200);
    const problem = await problemOf(
      await post({ tool: "echo", files: { a: { text: half }, b: { base64: btoa(half) }, c: { text: "x" } } }),
    );
    expect(problem).toMatchObject({ status: 413, code: "ERR_INPUT_TOO_LARGE" });
    expect(problem.detail).toContain("multipart/form-data");
  });
});

describe("files by multipart", () => {
  it("are the tool's files, of any size up to the cap", async () => {
    const { url } = await openService({}, scripts);
    const big = new Uint8Array(5 * 2 ** 20).fill(7);
    const response = await fetch(`${url}/v1/executions`, { method: "POST", body: form({ tool: "size" }, { "big.bin": big }) });
    expect(response.status).toBe(200);
    expect(((await response.json()) as WireResult).stdout.trim()).toBe(String(big.length));
  });

  it("are 413 over the cap, in one file and in many", async () => {
    const { url } = await openService({ limits: { maxUploadBytes: 2 ** 20, maxFiles: 3 } }, scripts);
    const send = (files: Record<string, Uint8Array | string>): Promise<Response> =>
      fetch(`${url}/v1/executions`, { method: "POST", body: form({ tool: "size" }, files) });
    expect((await send({ a: new Uint8Array(2 ** 20) })).status).toBe(413);
    expect((await send({ a: new Uint8Array(2 ** 19), b: new Uint8Array(2 ** 19) })).status).toBe(413);
    expect(await problemOf(await send({ a: "", b: "", c: "", d: "" }))).toMatchObject({ status: 413, code: "ERR_INPUT_TOO_LARGE" });
  });

  it("are refused without a task, with two, with a path twice", async () => {
    const { url } = await openService({}, scripts);
    const send = (data: FormData): Promise<Response> => fetch(`${url}/v1/executions`, { method: "POST", body: data });
    const none = new FormData();
    none.set("a", new Blob(["x"]), "a");
    expect(await problemOf(await send(none))).toMatchObject({ status: 400, code: "ERR_INPUT_INVALID" });
    const two = form({ tool: "cat" }, {});
    two.append("task", "{}");
    expect((await problemOf(await send(two))).detail).toContain("twice");
    const same = form({ tool: "cat" }, { "data/a.bin": "1" });
    same.append("data/a.bin", new Blob(["2"]), "a");
    expect((await problemOf(await send(same))).detail).toContain("twice");
    const both = form({ tool: "cat", files: { "data/a.bin": { text: "1" } } }, { "data/a.bin": "2" });
    expect((await problemOf(await send(both))).detail).toContain("twice");
  });
});

describe("files that a tool made", () => {
  it("are handed back by digest, and as something that no browser shows", async () => {
    const { post, get } = await openService({}, scripts);
    const { files } = (await (await post({ tool: "make" })).json()) as WireResult;
    expect(files.toSorted((a, b) => (a.path < b.path ? -1 : 1))).toEqual([
      { path: "d/zeros", digest: await sha256(new Uint8Array(100_000)), size: 100_000 },
      { path: "greeting.txt", digest: await sha256("hello"), size: 5 },
    ]);
    const response = await get(`/v1/blobs/${await sha256("hello")}`);
    expect(await response.text()).toBe("hello");
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "application/octet-stream",
      "content-disposition": "attachment",
      "x-content-type-options": "nosniff",
    });
  });

  it("are another tenant's secret, as file and as blob", async () => {
    const { post, get } = await openService({ tokens: [tokens.alice, tokens.bob] }, scripts);
    await post({ tool: "make" }, bearer("alice"));
    const digest = await sha256("hello");
    expect((await get(`/v1/blobs/${digest}`, bearer("alice"))).status).toBe(200);
    expect(await problemOf(await get(`/v1/blobs/${digest}`, bearer("bob")))).toMatchObject({ status: 404, code: "ERR_BLOB_NOT_FOUND" });
    const reuse = await post({ tool: "cat", files: { "data/a.bin": { digest } } }, bearer("bob"));
    expect(await problemOf(reuse)).toMatchObject({ status: 404, code: "ERR_BLOB_NOT_FOUND" });
  });
});

describe("a blob over HTTP", () => {
  const content = Uint8Array.from({ length: 600_000 }, (_, at) => (at * 7 + (at >> 8)) & 255);

  async function openBlob(config: Parameters<typeof openService>[0] = {}) {
    const opened = await openService(config);
    const sent = await fetch(`${opened.url}/v1/blobs`, { method: "POST", body: content });
    const { digest } = (await sent.json()) as { digest: string };
    const ask = (headers: Record<string, string>, method = "GET") => fetch(`${opened.url}/v1/blobs/${digest}`, { method, headers });
    return { ...opened, digest, ask };
  }

  it("says how long it is, and what", async () => {
    const { digest, ask } = await openBlob();
    for (const method of ["GET", "HEAD"]) {
      const response = await ask({}, method);
      expect([response.status, response.headers.get("content-length"), response.headers.get("etag")]).toEqual([
        200,
        "600000",
        `"${digest}"`,
      ]);
      expect(response.headers.get("accept-ranges")).toBe("bytes");
      expect((await response.arrayBuffer()).byteLength).toBe(method === "GET" ? 600_000 : 0);
    }
  });

  it.each([
    ["bytes=0-0", 0, 1],
    ["bytes=0-99", 0, 100],
    ["bytes=262143-262144", 262_143, 262_145],
    ["bytes=599999-", 599_999, 600_000],
    ["bytes=599999-999999", 599_999, 600_000],
    ["bytes=-5", 599_995, 600_000],
    ["bytes=-9999999", 0, 600_000],
  ])("gives the range %s", async (range, start, end) => {
    const { ask } = await openBlob();
    const response = await ask({ range });
    expect([response.status, response.headers.get("content-range")]).toEqual([206, `bytes ${start}-${end - 1}/600000`]);
    expect(await sha256(new Uint8Array(await response.arrayBuffer()))).toBe(await sha256(content.slice(start, end)));
  });

  it.each(["bytes=600000-", "bytes=-0", "bytes=700000-800000"])("refuses the range %s, which is outside", async (range) => {
    const { ask } = await openBlob();
    const response = await ask({ range });
    expect([response.status, response.headers.get("content-range"), await response.text()]).toEqual([416, "bytes */600000", ""]);
  });

  it.each(["bytes=5-4", "bytes=a-b", "bytes=-", "items=0-1", "bytes=0-1,3-4", "bytes=99999999999999999999-"])(
    "gives all for the range %s, which is none",
    async (range) => {
      const { ask } = await openBlob();
      const response = await ask({ range });
      expect([response.status, (await response.arrayBuffer()).byteLength]).toEqual([200, 600_000]);
    },
  );

  it("gives all where the range is of other bytes", async () => {
    const { digest, ask } = await openBlob();
    expect((await ask({ range: "bytes=0-1", "if-range": '"sha256:other"' })).status).toBe(200);
    expect((await ask({ range: "bytes=0-1", "if-range": `"${digest}"` })).status).toBe(206);
  });
});

describe("files in a folder of the service", () => {
  const bytesIn = (folder: string): number => {
    let sum = 0;
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) sum += statSync(join(entry.parentPath, entry.name)).size;
    return sum;
  };

  it("come in and go out, and outlast the service", async () => {
    const folder = join(mkdtempSync(join(tmpdir(), "toolruntime-blobs-")), "blobs");
    onTestFinished(() => rmSync(dirname(folder), { recursive: true }));
    const { url, post, get } = await openService({ blobs: { folder } }, { ...scripts, copy: "cp big.bin out/copy.bin" });
    const big = new Uint8Array(5 * 2 ** 20).fill(7);
    const response = await fetch(`${url}/v1/executions`, { method: "POST", body: form({ tool: "copy" }, { "big.bin": big }) });
    const { files } = (await response.json()) as WireResult;
    const digest = await sha256(big);
    expect(files).toEqual([{ path: "copy.bin", digest, size: big.length }]);
    expect(await sha256(new Uint8Array(await (await get(`/v1/blobs/${digest}`)).arrayBuffer()))).toBe(digest);
    expect(bytesIn(folder)).toBe(big.length);
    expect(((await (await post({ tool: "size", files: { "big.bin": { digest } } })).json()) as WireResult).stdout.trim()).toBe("5242880");
    const store = await folderBlobStore({ folder });
    expect((await store.open(digest))?.size).toBe(big.length);
  });

  it("are 503 with Retry-After where those in use leave no room", async () => {
    const folder = join(mkdtempSync(join(tmpdir(), "toolruntime-blobs-")), "blobs");
    onTestFinished(() => rmSync(dirname(folder), { recursive: true }));
    const { url, post, service } = await openService({ blobs: { folder, maxBytes: 1000 } }, { wait: "cat held; sleep 5" });
    const put = (byte: number): Promise<Response> => fetch(`${url}/v1/blobs`, { method: "POST", body: new Uint8Array(600).fill(byte) });
    const { digest } = (await (await put(1)).json()) as { digest: string };
    const cut = new AbortController();
    // The head of the answer comes when the tool has started.
    const running = await post({ tool: "wait", files: { held: { digest } } }, { accept: "application/x-ndjson" }, cut.signal);
    expect(running.status).toBe(200);
    expect((await put(2)).status).toBe(503);
    expect(await service.blobs.get(digest)).toBeDefined();
    const refused = await put(3);
    expect([refused.headers.get("retry-after"), (await problemOf(refused)).code]).toEqual(["1", "ERR_STORE_FULL"]);
    cut.abort();
    await running.text().catch(() => undefined);
    await until(async () => (await put(4)).status === 201, 5000, "there is room again");
  });

  it("leave nothing of an upload that was too large, or cut", async () => {
    const folder = join(mkdtempSync(join(tmpdir(), "toolruntime-blobs-")), "blobs");
    onTestFinished(() => rmSync(dirname(folder), { recursive: true }));
    const { url } = await openService({ blobs: { folder }, limits: { maxUploadBytes: 100_000 } }, scripts);
    const send = (size: number): Promise<Response> =>
      fetch(`${url}/v1/executions`, { method: "POST", body: form({ tool: "size" }, { "big.bin": new Uint8Array(size) }) });
    expect((await send(100_001)).status).toBe(413);
    const cut = new AbortController();
    const slow = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(1000)) }, { highWaterMark: 0 });
    const sending = fetch(`${url}/v1/blobs`, { method: "POST", body: slow, signal: cut.signal, duplex: "half" } as RequestInit);
    cut.abort();
    await sending.catch(() => undefined);
    await until(() => bytesIn(folder) === 0, 5000, "nothing is left");
  });
});
