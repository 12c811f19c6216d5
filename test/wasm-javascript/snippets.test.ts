import { describe, expect, it } from "vitest";
import type { ExecutionEvent } from "../../src/index.ts";
import { failure, openRuntime, receiptOf, run, snippet } from "./support.ts";

describe("the function that is called", () => {
  it.each([
    ["the default export", "export default (input) => ({ got: input.x });"],
    ["the export run", "export function run(input) { return { got: input.x }; }"],
    ["the default export before run", "export const run = () => 'no'; export default ({ x }) => ({ got: x });"],
    ["the function run of a script", "function run(input) { return { got: input.x }; }"],
    ["the constant run of a script", "const run = (input) => ({ got: input.x });"],
    ["the function that a script ends with", "const add = 0;\n(input) => ({ got: input.x + add })"],
    ["an asynchronous one", "export default async (input) => { await null; return { got: await Promise.resolve(input.x) }; }"],
    ["one of a module that awaits", "const add = await Promise.resolve(0);\nexport default ({ x }) => ({ got: x + add });"],
    ["one that esbuild wrote", "var a=e=>({got:e.x});export{a as default};"],
    ["one of a module with an export named then", "export function then() {}\nexport default ({ x }) => ({ got: x });"],
  ])("is %s", async (_, source) => {
    const { output, exitCode, stderr } = await run(source, { x: 21 });
    expect({ output, exitCode, stderr }).toEqual({ output: '{"got":21}', exitCode: 0, stderr: "" });
  });

  it.each(["export default 42;", "const x = 1;", "export const go = () => 1;", "// export default would do\n1"])(
    "is missed in %j",
    async (source) => {
      const { exitCode, stderr, output } = await run(source);
      expect(exitCode).toBe(1);
      expect(output ?? "").toBe("");
      expect(stderr).toMatch(/^(?:TypeError: the snippet has no function to call|SyntaxError)/);
    },
  );

  it("gets the variables of the task, and nothing else", async () => {
    const { output } = await run("export default (...given) => given", 7, { env: { GREETING: "hello" } });
    expect(JSON.parse(String(output))).toEqual([7, { env: { GREETING: "hello" } }]);
  });
});

describe("the output", () => {
  it.each([
    ["text", "'a\\u00e4\\u{1f600}'", "aä😀"],
    ["text with NUL", "'a\\0b\\0\\0c'", "a\0b\0\0c"],
    ["no text", "''", ""],
    ["nothing", "undefined", ""],
    ["null", "null", "null"],
    ["a number", "1.5", "1.5"],
    ["a list", "[1, undefined, 'x']", '[1,null,"x"]'],
    ["what JSON calls null", "[1e999, NaN]", "[null,null]"],
    ["what toJSON gives", "({ toJSON: () => ({ a: 1 }) })", '{"a":1}'],
    ["a getter's value", "({ get a() { return 1; } })", '{"a":1}'],
  ])("is %s", async (_, value, expected) => {
    const { stdout, exitCode } = await run(`export default () => (${value});`);
    expect({ stdout, exitCode }).toEqual({ stdout: expected, exitCode: 0 });
  });

  it("is JSON where the tool says so, texts too", async () => {
    expect((await run("export default () => 'a\\0b';", {}, { outputSchema: true })).output).toBe("a\0b");
    expect((await run("export default () => '{\"a\":1}';", {}, { outputSchema: true })).output).toBe('{"a":1}');
    expect((await run("export default () => ({ a: [1] });", {}, { outputSchema: true })).output).toEqual({ a: [1] });
  });

  it("is whole and in order however long it is, with pairs of surrogates at every place", async () => {
    const source =
      "export default () => { let s = ''; for (let i = 0; i < 9; i++) s += 'x'.repeat(i) + '\\u{1f600}'.repeat(20011) + '\\0'; return s; }";
    let expected = "";
    for (let i = 0; i < 9; i++) expected += `${"x".repeat(i)}${"\u{1f600}".repeat(20_011)}\0`;
    const written: Uint8Array[] = [];
    const runtime = openRuntime();
    const onEvent = (event: ExecutionEvent): void => void (event.type === "stdout" && written.push(event.bytes));
    await runtime.execute({ tool: await snippet(source), input: {}, resources: { output: "4Mi" } }, { onEvent });
    await runtime.close();
    expect(Buffer.concat(written).toString()).toBe(expected);
    expect(written.length).toBeGreaterThan(20);
  });

  it.each([
    ["a function", "() => 1", "TypeError: the snippet's result is of type function"],
    ["a symbol", "Symbol('x')", "TypeError: the snippet's result is of type symbol"],
    ["a big integer", "1n", "TypeError: Do not know how to serialize a BigInt"],
    ["a circle", "(() => { const a = {}; a.a = a; return a; })()", "TypeError: circular reference"],
    ["a getter that throws", "({ get a() { throw new RangeError('no'); } })", "RangeError: no"],
  ])("is refused where it is %s", async (_, value, message) => {
    const { exitCode, stdout, stderr } = await run(`export default () => (${value});`);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toContain(message);
  });

  it("is missed where the tool gives JSON", async () => {
    const { exitCode, stderr } = await run("export default () => undefined;", {}, { outputSchema: true });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("of type undefined");
  });
});

describe("errors", () => {
  it("show message and stack, with line and column, and exit code 1", async () => {
    const { exitCode, stderr, stdout } = await run(
      "function a() {\n  throw new TypeError('bad');\n}\nexport default function run() {\n  a();\n}",
    );
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toMatch(/^TypeError: bad\n {4}at a \(snippet\.js:2:\d+\)\n {4}at run \(snippet\.js:5:\d+\)\n$/);
  });

  it("of syntax say where", async () => {
    const { exitCode, stderr } = await run("export default (input) => {\n  const a = ;\n}");
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^SyntaxError: .+\n {4}at snippet\.js:2:13\n$/);
  });

  it.each([
    ["null", /^Uncaught null/],
    ["'text'", /^Uncaught text\n$/],
    ["{ a: 1 }", /^Uncaught \{"a":1\}\n$/],
    ["Object.create(null)", /^Uncaught \{\}\n$/],
    ["new Proxy({}, { get() { throw 1; } })", /^Uncaught exception that cannot be shown\n$/],
    ["{ stack: 'at (x', get name() { throw 1; } }", /^Uncaught exception that cannot be shown\n$/],
    ["Promise.reject(new Error('later'))", /^Uncaught \{\}\n$/],
  ])("that are none are shown: %s", async (value, expected) => {
    const { exitCode, stderr } = await run(`export default () => { throw (${value}); }`);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(expected);
  });

  it("of a rejected promise are errors", async () => {
    const { exitCode, stderr } = await run("export default () => Promise.reject(new Error('later'));");
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^Error: later\n/);
  });

  it("of a promise that nothing settles say so", async () => {
    const { exitCode, stderr } = await run("export default () => new Promise(() => {});");
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: "Error: the snippet's promise never settles: nothing is left that could do it\n",
    });
  });

  it.each(["import fs from 'fs';\nexport default () => 1;", "export default async () => (await import('fs')).default;"])(
    "name the module that nothing loads: %j",
    async (source) => {
      const { exitCode, stderr } = await run(source);
      expect(exitCode).toBe(1);
      expect(stderr).toContain("could not load module 'fs'");
    },
  );
});

describe("console", () => {
  it("writes to stderr what was logged, in order", async () => {
    const source = `export default async () => {
      console.log('a', 1, { b: [2] }, null, undefined, 3n, Symbol('s'), () => 1);
      console.error(new RangeError('bad').message);
      await null;
      console.warn('later');
      Promise.resolve().then(() => console.info('last'));
      return 'out';
    }`;
    const { stdout, stderr } = await run(source);
    expect(stdout).toBe("out");
    expect(stderr).toBe('a 1 {"b":[2]} null undefined 3n Symbol(s) [function ]\nbad\nlater\nlast\n');
  });

  it("shows an error with its stack", async () => {
    const { stderr } = await run("export default () => { console.log(new RangeError('bad')); }");
    expect(stderr).toMatch(/^RangeError: bad\n {4}at default \(snippet\.js:1:\d+\)\n$/);
  });
});

describe("receipts", () => {
  it("say what each limit is and was", async () => {
    const { limits, backend } = await run("export default () => 'x'.repeat(10);", {}, { resources: { fuel: 50_000_000, memory: "32Mi" } });
    expect(backend).toMatchObject({ name: "wasm", artifact: "code", isolation: "wasm" });
    expect(receiptOf(limits, "memory")).toMatchObject({ applied: 32 * 2 ** 20, hit: "no", enforcedBy: "module" });
    expect(receiptOf(limits, "disk")).toMatchObject({ applied: 0, peak: 0 });
    expect(receiptOf(limits, "processes")).toMatchObject({ applied: 1 });
    expect(receiptOf(limits, "output")).toMatchObject({ peak: 10 });
    const fuel = receiptOf(limits, "fuel");
    expect(fuel).toMatchObject({ applied: 50_000_000, hit: "no" });
    expect(Number.isInteger(fuel?.peak)).toBe(true);
    expect(fuel?.peak).toBeGreaterThan(100_000);
    expect(fuel?.peak).toBeLessThan(10_000_000);
  });

  it("refuse files, which a snippet could not read", async () => {
    const error = await failure(run("export default () => 1;", {}, { files: { "a.txt": new Uint8Array(1) } }));
    expect(error.code).toBe("ERR_INPUT_INVALID");
  });

  it("refuse less memory than QuickJS begins with", async () => {
    const error = await failure(run("export default () => 1;", {}, { resources: { memory: "4Mi" } }));
    expect(error.code).toBe("ERR_LIMIT_UNENFORCEABLE");
    expect((await run("export default () => 1;", {}, { resources: { memory: "6Mi" } })).output).toBe("1");
  });
});

describe("deterministic runs", () => {
  const source = "export default () => [Math.random(), Math.random(), Date.now(), String(new Date()), new Date(2026, 6).toISOString()];";
  const once = (seed: string) =>
    run(source, {}, { deterministic: { seed, now: "2026-01-31T12:00:00Z" }, resources: { fuel: 1_000_000_000 } });

  it("give the same output and fuel again", async () => {
    const [first, second, other] = [await once("a"), await once("a"), await once("b")];
    expect(second.output).toBe(first.output);
    expect(receiptOf(second.limits, "fuel")?.peak).toBe(receiptOf(first.limits, "fuel")?.peak);
    const [a, b, now, text, summer] = JSON.parse(String(first.output));
    expect(a).not.toBe(b);
    expect(JSON.parse(String(other.output))[0]).not.toBe(a);
    expect(now - Date.parse("2026-01-31T12:00:00Z")).toBeLessThan(100);
    expect(text).toBe("Sat Jan 31 2026 12:00:00 GMT+0000");
    expect(summer).toBe("2026-07-01T00:00:00.000Z");
  });

  it("are not what other runs are", async () => {
    const plain = await Promise.all([run(source), run(source)]);
    const [first, second] = plain.map(({ output }) => JSON.parse(String(output)));
    expect(first[0]).not.toBe(second[0]);
    expect(Math.abs(first[2] - Date.now())).toBeLessThan(60_000);
  });
});
