import { describe, expect, it } from "vitest";
import { createRuntime, defineTool } from "../../src/index.ts";
import { sha256 } from "../../src/internal/digest.ts";
import { javaScriptEngine, wasm } from "../../src/wasm/index.ts";
import { quickJsDigest, quickJsExports, quickJsHeapAt, quickJsImports, quickJsStackAt } from "../../src/wasm/javascript/quickjs.ts";
import { failure, openRuntime, readQuickJs, snippet } from "./support.ts";

describe("the module of QuickJS", () => {
  it("is the one that this version takes, with the imports and exports of its tables", async () => {
    const bytes = await readQuickJs();
    expect(await sha256(bytes)).toBe(quickJsDigest);
    const module = new WebAssembly.Module(Uint8Array.from(bytes));
    const functions = WebAssembly.Module.imports(module).filter(({ kind }) => kind === "function");
    expect(functions.map(({ name }) => name).toSorted()).toEqual(
      Object.values(quickJsImports)
        .map(([name]) => name)
        .toSorted(),
    );
    const exported = new Set(WebAssembly.Module.exports(module).map(({ name }) => name));
    expect(Object.values(quickJsExports).filter(([name]) => !exported.has(name))).toEqual([]);
  });

  it("has its stack where the image leaves it out", async () => {
    const bytes = await readQuickJs();
    const memory = new WebAssembly.Memory({ initial: 256, maximum: 32_768 });
    const functions = Object.fromEntries(Object.values(quickJsImports).map(([name]) => [name, () => 0]));
    const { instance } = await WebAssembly.instantiate(Uint8Array.from(bytes), { a: { ...functions, a: memory } });
    // What emscripten calls stackSave gives the top of the empty stack.
    const save = instance.exports["Oa"];
    if (typeof save !== "function") throw new TypeError("the module has no stackSave");
    expect(save()).toBe(quickJsHeapAt);
    expect(new Uint8Array(memory.buffer, quickJsStackAt, quickJsHeapAt - quickJsStackAt).some((byte) => byte !== 0)).toBe(false);
  });

  it("is refused where it is another", async () => {
    const bytes = await readQuickJs();
    const other = bytes.slice();
    other[other.length - 1] = (other.at(-1) ?? 0) ^ 1;
    const runtime = createRuntime({ backend: wasm({ javascript: javaScriptEngine(other) }) });
    const error = await failure(runtime.execute({ tool: await snippet("export default () => 1;"), input: {} }));
    expect(error.code).toBe("ERR_DIGEST_MISMATCH");
    await runtime.close();
  });

  it("is what snippets need: without it they are refused", async () => {
    const runtime = createRuntime({ backend: wasm() });
    expect((await failure(runtime.execute({ tool: await snippet("1"), input: {} }))).code).toBe("ERR_ARTIFACT_UNSUPPORTED");
    await runtime.close();
  });
});

describe("the artifact code of a manifest", () => {
  const manifest = { name: "snippet", version: "1.0.0", description: "Of the tests", inputSchema: true };

  it("gets the digest of its text", async () => {
    const source = "export default () => 1;";
    const { manifest: read } = await snippet(source);
    expect(read.artifacts.code?.digest).toBe(await sha256(source));
    const code = { language: "javascript" as const, digest: await sha256(source) };
    const tool = await defineTool({ ...manifest, artifacts: { code } }, { code: new TextEncoder().encode(source) });
    const runtime = openRuntime();
    expect((await runtime.execute({ tool, input: {} })).output).toBe("1");
    await runtime.close();
  });

  it("is held to its digest, at once or when the text is read", async () => {
    const digest = await sha256("other");
    const code = { language: "javascript" as const, digest };
    expect((await failure(defineTool({ ...manifest, artifacts: { code: { ...code, source: "1" } } }))).code).toBe("ERR_DIGEST_MISMATCH");
    const tool = await defineTool({ ...manifest, artifacts: { code } }, { code: async () => new TextEncoder().encode("1") });
    const runtime = openRuntime();
    expect((await failure(runtime.execute({ tool, input: {} }))).code).toBe("ERR_DIGEST_MISMATCH");
    await runtime.close();
  });

  it.each([
    ["another language", { language: "python", source: "1" }],
    ["both a file and a text", { language: "javascript", source: "1", file: "a.js" }],
    ["an unknown key", { language: "javascript", source: "1", entry: "run" }],
    ["no language", { source: "1" }],
  ])("is refused with %s", async (_, code) => {
    const work = defineTool({ ...manifest, artifacts: { code } } as Parameters<typeof defineTool>[0]);
    expect((await failure(work)).code).toBe("ERR_MANIFEST_INVALID");
  });

  it("must be text", async () => {
    const tool = await defineTool({ ...manifest, artifacts: { code: { language: "javascript" } } }, { code: Uint8Array.of(0xff, 0xfe) });
    const runtime = openRuntime();
    expect((await failure(runtime.execute({ tool, input: {} }))).code).toBe("ERR_ARTIFACT_INVALID");
    await runtime.close();
  });

  it("may be as large as other artifacts, and no larger", async () => {
    const tool = await snippet(`${" ".repeat(2000)}export default () => 1;`);
    const runtime = createRuntime({ backend: wasm({ javascript: javaScriptEngine(readQuickJs), maxArtifactBytes: 1000 }) });
    expect((await failure(runtime.execute({ tool, input: {} }))).code).toBe("ERR_ARTIFACT_TOO_LARGE");
    await runtime.close();
  });
});
