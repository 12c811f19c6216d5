import { afterAll, describe, expect, it } from "vitest";
import { failure, openRuntime, receiptOf, run, snippet, type More } from "./support.ts";

/** Ends at its wall deadline, with the error of that limit. */
const endless: Readonly<Record<string, string>> = {
  "a loop": "export default () => { for (;;); }",
  "a loop while the module is evaluated": "for (;;); export default () => 1;",
  "a regular expression with exponential back-tracking": "export default () => /^(a+)+$/.test('a'.repeat(40) + 'b')",
  "promises that call each other":
    "export default () => new Promise(() => { const next = () => { Promise.resolve().then(next); }; next(); })",
  "promises behind an answer that is there":
    "const next = () => { Promise.resolve().then(next); }; export default () => { next(); return 1; }",
  "asynchronous functions that await for ever": "export default async () => { for (;;) await null; }",
  "a getter that loops": "export default () => ({ get a() { for (;;); } })",
  "a toJSON that gives ever more": "export default () => { const make = () => ({ toJSON: () => { for (;;); } }); return make(); }",
  "an error that takes for ever to be shown": "export default () => { throw { stack: '', get message() { for (;;); } }; }",
  "a loop that catches everything": "export default () => { for (;;) { try { null.x; } catch {} } }",
  "a thenable that never calls back, and a loop": "export default () => ({ then() { for (;;); } })",
  "sorting without end": "export default () => { for (;;) Array.from({ length: 1000 }, (_, i) => i).sort(() => Math.random() - 0.5); }",
  "a generator": "export default () => { function* all() { for (;;) yield 1; } for (const one of all()); }",
  "a parser that is kept busy": "export default () => { for (;;) eval('1+'.repeat(10000) + '1'); }",
};

describe.each(Object.entries(endless))("%s", (_, source) => {
  it("ends at the deadline", async () => {
    const error = await failure(run(source, {}, { resources: { timeout: 200 } }));
    expect(error.code).toBe("ERR_LIMIT_TIMEOUT");
    expect(error.details).toMatchObject({ value: 200 });
  });

  it("ends by its fuel, and at the same place twice", async () => {
    const more: More = {
      resources: { fuel: 300_000_000, memory: "1Gi", timeout: 30_000 },
      deterministic: { seed: "s", now: "2026-01-31T12:00:00Z" },
    };
    const ends = [await failure(run(source, {}, more)), await failure(run(source, {}, more))];
    expect(ends.map(({ code }) => code)).toEqual(["ERR_LIMIT_FUEL", "ERR_LIMIT_FUEL"]);
    const [first, second] = ends.map(({ partial }) => receiptOf(partial?.limits, "fuel")?.peak);
    expect(first).toBeGreaterThanOrEqual(300_000_000);
    expect(second).toBe(first);
  });
});

describe("what never ends", () => {
  it("leaves the event loop to others", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    await failure(run(endless["a loop"] ?? "", {}, { resources: { timeout: 400 } }));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });

  it("ends when the caller goes away", async () => {
    const runtime = openRuntime();
    const signal = AbortSignal.timeout(50);
    const error = await failure(runtime.execute({ tool: await snippet(endless["a loop"] ?? ""), input: {} }, { signal }));
    expect(error.code).toBe("ERR_ABORTED");
    await runtime.close();
  });
});

describe("memory", () => {
  const bombs: Readonly<Record<string, string>> = {
    arrays: "const all = []; for (;;) all.push(new Array(1000).fill(1));",
    objects: "let all = {}; for (;;) all = { all, more: {} };",
    "typed arrays": "const all = []; for (;;) all.push(new Uint8Array(100000).fill(1));",
    "an array buffer": "new Uint8Array(2 ** 30);",
    texts: "const all = []; for (let i = 0; ; i++) all.push(('x' + i).repeat(10000));",
    "a text": "'x'.repeat(2 ** 29);",
    "a map": "const all = new Map(); for (let i = 0; ; i++) all.set(i, {});",
    "bound functions": "let f = () => 1; for (;;) f = f.bind(null);",
    jobs: "for (;;) Promise.resolve().then(() => 1);",
    "back-tracking": "/(?:a|b|c|(d))*/.exec('abcd'.repeat(2 ** 22)); const all = []; for (;;) all.push('x'.repeat(1000));",
  };

  it.each(Object.entries(bombs))("ends at the cap: %s", async (_, code) => {
    const resources = { memory: "32Mi", timeout: 60_000 };
    const { exitCode, stderr, exit, limits } = await run(`export default () => { ${code} }`, {}, { resources });
    expect(exitCode).not.toBe(0);
    const memory = receiptOf(limits, "memory");
    expect(memory).toMatchObject({ applied: 32 * 2 ** 20 });
    expect(memory?.peak).toBeLessThanOrEqual(32 * 2 ** 20);
    // What is longer than the language allows is refused before anybody asks for memory.
    const isRefused = /length|too long/.test(stderr);
    const isOut = /out of memory|no memory left/.test(stderr) || exit.kind === "trapped";
    expect([isRefused || isOut, memory?.hit]).toEqual([true, isRefused ? "no" : "yes"]);
  });

  it("that is given back can be used again", async () => {
    const source =
      "export default () => { const all = []; try { for (;;) all.push(new Uint8Array(100000)); } catch (e) { all.length = 0; return String(e); } }";
    const { output, limits } = await run(source, {}, { resources: { memory: "32Mi" } });
    expect(output).toBe("InternalError: out of memory");
    expect(receiptOf(limits, "memory")).toMatchObject({ hit: "yes" });
  });

  it("of one run is not seen by another", async () => {
    const write =
      "globalThis.secret = 'canary'; Array.prototype.leak = 'canary'; Object.prototype.leak = 'canary'; export default () => 'canary'.repeat(1000).length;";
    const read = "export default () => [typeof globalThis.secret, typeof [].leak, typeof ({}).leak, Object.keys(Array.prototype).length];";
    for (let round = 0; round < 5; round++) {
      expect((await run(write)).output).toBe("6000");
      expect(JSON.parse(String((await run(read)).output))).toEqual(["undefined", "undefined", "undefined", 0]);
    }
  });
});

describe("recursion", () => {
  const shapes: Readonly<Record<string, string>> = {
    functions: "const f = () => 1 + f(); return f();",
    methods: "class A { f(x) { return [1].map(() => this.f(x)); } } return new A().f();",
    constructors: "class A { constructor() { new A(); } } return new A();",
    sorting: "const f = () => [2, 1].sort(f); return f();",
    "replacing texts": "const f = () => 'a'.replace(/a/, f); return f();",
    proxies: "let p = {}; for (let i = 0; i < 100000; i++) p = new Proxy(p, {}); return p.x;",
    "JSON.parse": "return JSON.parse('['.repeat(1000000));",
    "JSON.stringify": "let a = []; for (let i = 0; i < 100000; i++) a = [a]; return a;",
    eval: "return eval('('.repeat(1000000));",
    toString: "const o = { toString: () => `${o}` }; return `${o}`;",
    getters: "const o = { get x() { return o.x; } }; return o.x;",
    generators: "function* g() { yield* g(); } return [...g()];",
  };

  it.each(Object.entries(shapes))("of %s throws, or traps, and never more", async (_, code) => {
    for (const more of [{}, { deterministic: { seed: "s", now: "2026-01-31T12:00:00Z" } }]) {
      const { exit, stderr } = await run(`export default () => { ${code} };`, {}, { ...more, resources: { memory: "512Mi" } });
      const [firstLine] = stderr.split("\n");
      expect([
        [{ kind: "trapped", trap: "call stack exhausted" }, ""],
        [{ kind: "exited", code: 1 }, "InternalError: stack overflow"],
      ]).toContainEqual([exit, firstLine]);
    }
  });

  it("can be caught", async () => {
    const source =
      "export default () => { let n = 0; const f = () => { n++; f(); }; try { f(); } catch (e) { return { n, is: e instanceof InternalError }; } };";
    for (const more of [{}, { deterministic: { seed: "s", now: "2026-01-31T12:00:00Z" } }]) {
      const { n, is } = JSON.parse(String((await run(source, {}, more)).output));
      expect(is).toBe(true);
      expect(n).toBeGreaterThan(300);
    }
  });
});

describe("output", () => {
  it.each([
    ["a text that is too long", "return 'x'.repeat(3000000);"],
    ["one line after the other", "for (;;) console.log('x');"],
    ["one line that never ends", "for (let all = 'x'; ; all += all) console.log(all);"],
    ["lists", "return Array.from({ length: 300000 }, (_, i) => ({ i }));"],
  ])("ends at the cap: %s", async (_, code) => {
    const error = await failure(run(`export default () => { ${code} };`, {}, { resources: { timeout: 60_000 } }));
    expect(error.code).toBe("ERR_LIMIT_OUTPUT");
    const { stdout = "", stderr = "" } = error.partial ?? {};
    expect(stdout.length + stderr.length).toBeGreaterThan(1000);
  });
});

describe("the host", () => {
  it("is not there", async () => {
    const names = [
      "require",
      "module",
      "process",
      "Deno",
      "Bun",
      "fetch",
      "XMLHttpRequest",
      "WebSocket",
      "WebAssembly",
      "Worker",
      "caches",
      "crypto",
      "performance",
    ];
    const more = [
      "setTimeout",
      "setImmediate",
      "queueMicrotask",
      "std",
      "os",
      "print",
      "scriptArgs",
      "navigator",
      "Buffer",
      "global",
      "window",
      "self",
      "structuredClone",
    ];
    const source = `export default () => [...${JSON.stringify([...names, ...more])}.filter((name) => name in globalThis), typeof import.meta.url];`;
    expect(JSON.parse(String((await run(source)).output))).toEqual(["undefined"]);
  });

  it.each([
    "console.log.constructor.constructor('return this')()",
    "Object.getPrototypeOf(async function () {}).constructor('return globalThis')()",
    "(0, eval)('this')",
    "new Function('return this')()",
    "(() => { try { null.x } catch (e) { return e.constructor.constructor('return this')(); } })()",
    "Reflect.getPrototypeOf(console.error).constructor('return this')()",
  ])("is not at the end of %s", async (expression) => {
    const source = `export default async (input, context) => { const it = await (${expression}); return [it === globalThis, typeof it.process, typeof it.require]; };`;
    expect(JSON.parse(String((await run(source)).output))).toEqual([true, "undefined", "undefined"]);
  });

  it("gives objects of the guest's own: input, variables, functions", async () => {
    const source = `export default (input, { env }) => [
      Object.getPrototypeOf(input) === Object.prototype, Object.getPrototypeOf(env) === Object.prototype,
      console.log instanceof Function, input.constructor.constructor === Function, ({}).x === undefined];`;
    const { output } = await run(source, { a: 1 }, { env: { A: "b" } });
    expect(JSON.parse(String(output))).toEqual([true, true, true, true, true]);
  });

  it("holds against a snippet that changes all prototypes: only its own output is what it makes it", async () => {
    const source = `
      for (const o of [Object, Array, String, Promise, Function, JSON, Reflect, Math, Error, Number, Boolean, RegExp])
        for (const target of [o, o.prototype ?? {}])
          for (const key of Reflect.ownKeys(target))
            try { if (key !== "prototype" && key !== "then") Object.defineProperty(target, key, { value: () => { throw "changed"; } }); } catch {}
      export default () => ({ a: 1 });`;
    expect(await run(source)).toMatchObject({ output: '{"a":1}', exitCode: 0 });
    expect(({} as { x?: unknown }).x).toBeUndefined();
    expect(JSON.stringify({ a: [1] })).toBe('{"a":[1]}');
  });

  it("takes no pollution through the input or the output", async () => {
    const source = 'export default (input) => JSON.parse(\'{"__proto__": {"x": 1}, "constructor": {"prototype": {"x": 1}}}\');';
    const { output } = await run(source, {}, { outputSchema: true }).catch((error: unknown) => ({ output: String(error) }));
    expect(output).toBeDefined();
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });

  it("is not asked for memory outside of the guest's by texts with surrogates and NULs", async () => {
    const { stdout, exitCode } = await run("export default () => '\\ud800\\0' + '\\udfff'.repeat(40000);");
    expect(exitCode).toBe(0);
    expect(stdout.length).toBeGreaterThan(40_000);
  });
});

describe("a snippet of 10 MB", () => {
  const runtime = openRuntime();
  afterAll(() => runtime.close());

  it("runs", async () => {
    const tool = await snippet(`${"// comment\n".repeat(900_000)}export default () => 1;`);
    expect((await runtime.execute({ tool, input: {} })).output).toBe("1");
  });

  it("of code runs in its limits, or says which one it meets", async () => {
    const tool = await snippet(`const all = [${"'abcdefghi',".repeat(850_000)}]; export default () => all.length;`);
    const ended = await runtime.execute({ tool, input: {}, resources: { timeout: 60_000, memory: "512Mi" } });
    expect(ended).toMatchObject({ output: "850000", exitCode: 0 });
    const { exitCode, limits } = await runtime.execute({ tool, input: {}, resources: { timeout: 60_000, memory: "16Mi" } });
    expect(exitCode).not.toBe(0);
    expect(receiptOf(limits, "memory")).toMatchObject({ hit: "yes" });
  });
});
