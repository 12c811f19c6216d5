import { execFile } from "node:child_process";
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { jcoTranspiler, type JcoOptions } from "../../src/wasm/component/jco/index.ts";
import { makeComponent } from "../../src/wasm/component/make.ts";
import type { ComponentTranspiler, TranspileRequest } from "../../src/wasm/component/transpiler.ts";
import { guest, guestPath, makingOf, readyWith, runOnce } from "./support.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "components-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function answer(options: JcoOptions): Promise<string> {
  const artifact = await readyWith(jcoTranspiler(options), "text");
  return (await runOnce(artifact, { input: "kept" })).stdout;
}

/** Too short for jco: what still works did not need it. */
const timeoutMs = 1;

describe("the cache folder", () => {
  test("keeps what was transpiled for the next start, whole and for this user alone", async () => {
    const cacheFolder = join(folder, "kept", "deep");
    expect(await answer({ cacheFolder })).toBe("KEPT");
    const names = readdirSync(cacheFolder);
    expect(names).toEqual([expect.stringMatching(/^[0-9a-f]{64}\.component$/)]);
    expect(statSync(cacheFolder).mode & 0o777).toBe(0o700);
    expect(statSync(join(cacheFolder, names[0] ?? "")).mode & 0o777).toBe(0o600);
    expect(await answer({ cacheFolder, timeoutMs })).toBe("KEPT");
  });

  test.each([
    ["cut off", (bytes: Buffer) => bytes.subarray(0, bytes.length - 1)],
    ["empty", () => Buffer.alloc(0)],
    ["changed", (bytes: Buffer) => Buffer.from(bytes).fill(0x20, bytes.length - 10)],
    ["with another table", (bytes: Buffer) => Buffer.from(bytes.toString("latin1").replace("component.js", "component.jj"), "latin1")],
  ])("a file that is %s is made anew", async (_, change) => {
    const cacheFolder = mkdtempSync(join(folder, "changed-"));
    await answer({ cacheFolder });
    const file = join(cacheFolder, readdirSync(cacheFolder)[0] ?? "");
    const good = readFileSync(file);
    writeFileSync(file, change(good));
    await expect(answer({ cacheFolder, timeoutMs })).rejects.toMatchObject({ code: "ERR_ARTIFACT_INVALID" });
    expect(await answer({ cacheFolder })).toBe("KEPT");
    expect(readFileSync(file).equals(good)).toBe(true);
    expect(readdirSync(cacheFolder)).toHaveLength(1);
  });

  test("where others can write is refused", async () => {
    const cacheFolder = mkdtempSync(join(folder, "open-"));
    chmodSync(cacheFolder, 0o777);
    await expect(answer({ cacheFolder })).rejects.toMatchObject({ code: "ERR_CONFIG_INVALID" });
  });
});

test("a component is transpiled once, however many ask", async () => {
  const transpiler = jcoTranspiler();
  const made: unknown[] = [];
  const counting: ComponentTranspiler = {
    async transpile(request: TranspileRequest) {
      const transpiled = await transpiler.transpile(request);
      made.push(transpiled);
      return transpiled;
    },
  };
  await Promise.all([1, 2, 3].map(() => readyWith(counting, "text")));
  expect(made).toHaveLength(3);
  expect(new Set(made).size).toBe(1);
});

test("a component that takes too long is given up", async () => {
  await expect(answer({ timeoutMs })).rejects.toThrow("longer than 1 ms");
});

test("the event loop goes on while jco works", async () => {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 1);
  const start = performance.now();
  await jcoTranspiler().transpile({ bytes: Uint8Array.from(readFileSync(guestPath("command"))), waitingImports: [], waitingExports: [] });
  clearInterval(timer);
  expect(longest).toBeLessThan((performance.now() - start) / 2);
});

describe("without jco", () => {
  test("no transpiler is an error that says what to install", async () => {
    const refusal = makeComponent(guest("text"), makingOf("text"), { entry: "run", transpiler: undefined });
    await expect(refusal).rejects.toMatchObject({ code: "ERR_BACKEND_UNAVAILABLE" });
    await expect(refusal).rejects.toThrow("npm install @bytecodealliance/jco");
  });

  test("a service where it is not installed says so at the first component", async () => {
    const elsewhere = join(folder, "elsewhere");
    cpSync(join(root, "src"), join(elsewhere, "src"), { recursive: true });
    writeFileSync(join(elsewhere, "package.json"), '{"type":"module"}');
    const script = `
      import { readFileSync } from "node:fs";
      import { makeComponent } from "./src/wasm/component/make.ts";
      import { jcoTranspiler } from "./src/wasm/component/jco/index.ts";
      const bytes = new Uint8Array(readFileSync(${JSON.stringify(guestPath("text"))}));
      const options = { entry: "run", transpiler: jcoTranspiler() };
      await makeComponent(bytes, { tool: "text", deterministic: false }, options).catch(({ code, message }) => console.log(code, message));
    `;
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], { cwd: elsewhere });
    expect(stdout).toMatch(/^ERR_BACKEND_UNAVAILABLE .*npm install @bytecodealliance\/jco\n$/);
    expect(stderr).toBe("");
  });

  test("what runs components bundles for workerd with no import of Node or jco", async () => {
    const { metafile } = await build({
      entryPoints: [`${root}src/wasm/component/component.ts`],
      bundle: true,
      write: false,
      format: "esm",
      platform: "neutral",
      conditions: ["workerd", "worker", "browser"],
      external: ["node:*"],
      metafile: true,
      logLevel: "silent",
    });
    const imports = Object.values(metafile.outputs).flatMap(({ imports: found }) => found.map(({ path }) => path));
    expect(imports).toEqual([]);
    expect(Object.keys(metafile.inputs).filter((path) => path.includes("node_modules"))).toEqual([]);
  });
});

test("a run in a process of its own prints nothing, and importing loads nothing", async () => {
  const script = `
    import { registerHooks } from "node:module";
    registerHooks({ load(url, context, next) { if (url.includes("node_modules")) console.log(url); return next(url, context); } });
    const { ready, runOnce } = await import("./test/wasm-component/support.ts");
    const { stdout } = await runOnce(await ready("command"), { input: "host" });
    console.log(stdout);
  `;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], { cwd: root });
  expect(stdout).toBe("1 command\n");
  expect(stderr).toBe("");
});

test("a run that was ended while it slept leaves nothing behind", async () => {
  const script = `
    const { ready, runOnce } = await import("./test/wasm-component/support.ts");
    const artifact = await ready("command");
    const sleep = async () => {
      const abort = new AbortController();
      setTimeout(() => abort.abort(new Error("enough")), 2);
      await runOnce(artifact, { input: "sleep 100000", signal: abort.signal }).catch(() => {});
    };
    const heap = async (runs) => {
      for (let run = 0; run < runs; run++) await sleep();
      await new Promise((resolve) => setTimeout(resolve, 50));
      globalThis.gc();
      return process.memoryUsage().heapUsed;
    };
    const before = await heap(50);
    console.log(((await heap(300)) - before) / 300);
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", "--input-type=module", "--eval", script], { cwd: root });
  // A stack that stays suspended holds about 280,000 bytes.
  expect(Number(stdout)).toBeLessThan(50_000);
});
