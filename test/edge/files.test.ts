import { describe, expect, it } from "vitest";
import { sha256 } from "../../src/internal/digest.ts";
import type { WireResult } from "../../src/wire.ts";
import { bearer, openService, problemOf, tokens } from "./support.ts";

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
