import { afterAll, describe, expect, it } from "vitest";
import { createRuntime } from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { processDriver } from "../../src/wasm/process/index.ts";
import { failure, receiptOf, run as runInline, snippet } from "./support.ts";

const driver = processDriver({ maxChildren: 2 });
const runtime = createRuntime({ backend: wasm({ process: driver }), security: "hardened" });
afterAll(async () => {
  await runtime.close();
  await driver.close();
});

const deterministic = { seed: "seed", now: "2026-01-31T12:00:00Z" };

describe("a snippet in a process of its own", () => {
  it("runs, again and again", async () => {
    const tool = await snippet("export default ({ n }) => { console.log('n', n); return { n: n + 1 }; };");
    for (let n = 0; n < 3; n++) {
      const { output, stderr, backend } = await runtime.execute({ tool, input: { n } });
      expect({ output, stderr }).toEqual({ output: `{"n":${n + 1}}`, stderr: `n ${n}\n` });
      expect(backend).toMatchObject({ artifact: "code", isolation: "wasm-process", profile: "hardened" });
    }
  });

  it("reads variables of its task, and shows its errors", async () => {
    const env = await snippet("export default (_, { env }) => env;");
    expect((await runtime.execute({ tool: env, input: {}, env: { A: "b" } })).output).toBe('{"A":"b"}');
    const throwing = await snippet("export default () => { throw new RangeError('bad'); };");
    const { exitCode, stderr } = await runtime.execute({ tool: throwing, input: {} });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^RangeError: bad\n {4}at default \(snippet\.js:1:\d+\)\n$/);
  });

  it("uses the same fuel as in the serving process, for the same output", async () => {
    const source = "export default () => { const all = []; for (let i = 0; i < 1000; i++) all.push(Math.random()); return all; };";
    const resources = { fuel: 10_000_000_000 };
    const there = await runtime.execute({ tool: await snippet(source), input: {}, deterministic, resources });
    const here = await runInline(source, {}, { deterministic, resources });
    expect(there.output).toBe(here.output);
    expect(receiptOf(there.limits, "fuel")?.peak).toBe(receiptOf(here.limits, "fuel")?.peak);
  });

  it.each([
    ["ERR_LIMIT_TIMEOUT", "for (;;);", { timeout: 300 }],
    ["ERR_LIMIT_FUEL", "for (;;);", { fuel: 100_000_000 }],
    ["ERR_LIMIT_OUTPUT", "for (;;) console.log('x'.repeat(1000));", {}],
  ])("is ended by %s: %s", async (code, body, resources) => {
    const tool = await snippet(`export default () => { ${body} };`);
    expect((await failure(runtime.execute({ tool, input: {}, resources }))).code).toBe(code);
  });

  it("is held to its memory, and recurses no further than it can", async () => {
    const bomb = await snippet("export default () => { const all = []; for (;;) all.push(new Array(1000).fill(1)); };");
    const { exitCode, limits } = await runtime.execute({ tool: bomb, input: {}, resources: { memory: "32Mi" } });
    expect(exitCode).toBe(1);
    expect(receiptOf(limits, "memory")).toMatchObject({ applied: 32 * 2 ** 20, hit: "yes" });
    const recursing = await snippet("export default () => { const f = () => f() + 1; return f(); };");
    expect((await runtime.execute({ tool: recursing, input: {} })).stderr).toMatch(/^InternalError: stack overflow/);
    const nested = await snippet("export default () => JSON.parse('['.repeat(1000000));");
    expect((await runtime.execute({ tool: nested, input: {} })).exit).toEqual({ kind: "trapped", trap: "call stack exhausted" });
  });

  it("finds nothing of its process", async () => {
    const tool = await snippet("export default () => [typeof process, typeof require, (function () { return this; })() === undefined];");
    expect((await runtime.execute({ tool, input: {} })).output).toBe('["undefined","undefined",true]');
  });
});
