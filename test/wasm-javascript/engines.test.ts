import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { bundle, engines, findBinary, openWorker, runScript, type Engine } from "../../bench/engines.ts";
import type { CompiledArtifact } from "../../src/index.ts";
import { makeArtifact } from "../../src/wasm/index.ts";
import { quickJs } from "../../src/wasm/javascript/node.ts";
import { endlessCases, engineCases } from "./engine-cases.ts";
import type { SnippetReport } from "./engine-program.ts";
import { readQuickJs, snippet } from "./support.ts";

/** So much later than its deadline a run may be over on a machine that does other things too. */
const lateMs = 1500;
const folder = fileURLToPath(new URL(".", import.meta.url));

const sources: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(engineCases).map(([name, { source }]) => [name, source])),
  ...Object.fromEntries(Object.entries(endlessCases).map(([name, source]) => [`endless ${name}`, source])),
};

/** With QuickJS's own bytes: metered and compiled where it runs. */
async function tryFromBytes(engine: Exclude<Engine, "workerd">): Promise<SnippetReport> {
  const code = await bundle(
    `import { defineTool } from "../../src/index.ts";
    import { javaScriptEngine, wasm } from "../../src/wasm/index.ts";
    import { trySnippets } from "./engine-program.ts";
    const quickJs = Uint8Array.from(atob(${JSON.stringify(Buffer.from(await readQuickJs()).toString("base64"))}), (char) => char.charCodeAt(0));
    const tools = new Map();
    for (const [name, source] of Object.entries(${JSON.stringify(sources)})) {
      const code = { language: "javascript", source };
      tools.set(name, await defineTool({ name: "snippet", version: "1.0.0", description: "Of the tests", inputSchema: true, artifacts: { code } }));
    }
    console.log(JSON.stringify(await trySnippets(wasm({ javascript: javaScriptEngine(quickJs) }), tools)));`,
    folder,
  );
  return JSON.parse(await runScript(engine, code, { timeoutMs: 100_000 }));
}

/** With what was built: the two modules of QuickJS are files that the platform compiles, a snippet is data. */
async function tryBuilt(): Promise<SnippetReport> {
  const engine = quickJs();
  const modules: Record<string, Uint8Array> = {};
  const built: Record<string, { readonly source: string; readonly compiled: Omit<CompiledArtifact, "modules">[] }> = {};
  for (const [name, source] of Object.entries(sources)) {
    const compiled: Omit<CompiledArtifact, "modules">[] = [];
    for (const deterministic of [false, true]) {
      const { modules: made, ...artifact } = await makeArtifact(await snippet(source), { javascript: engine, deterministic });
      compiled.push(artifact);
      for (const bytes of Object.values(made)) modules[deterministic ? "deterministic.wasm" : "plain.wasm"] = bytes;
    }
    built[name] = { source, compiled };
  }
  const main = `import plain from "./plain.wasm";
    import deterministic from "./deterministic.wasm";
    import { defineTool } from "../../src/index.ts";
    import { builtWasm } from "../../src/wasm/built.ts";
    import { trySnippets } from "./engine-program.ts";
    const compiling = [];
    for (const name of ["compile", "instantiate", "validate"]) WebAssembly[name] = () => { compiling.push(name); throw new Error(name); };
    const tools = new Map();
    for (const [name, { compiled }] of Object.entries(${JSON.stringify(built)})) {
      const artifacts = compiled.map((one) => ({ ...one, modules: { main: one.deterministic ? deterministic : plain } }));
      const code = { language: "javascript", digest: compiled[0].of };
      const manifest = { name: "snippet", version: "1.0.0", description: "Of the tests", inputSchema: true, artifacts: { code } };
      tools.set(name, await defineTool(manifest, { compiled: artifacts }));
    }
    export default {
      async fetch() {
        const report = await trySnippets(builtWasm(), tools);
        return Response.json({ ...report, compiling });
      },
    };`;
  await using worker = await openWorker(await bundle(main, folder), { modules });
  const text = await (await fetch(worker.url)).text();
  if (!text.startsWith("{")) throw new Error(`${text}\n${worker.logged()}`);
  const { compiling, ...report }: SnippetReport & { readonly compiling: readonly string[] } = JSON.parse(text);
  expect(compiling).toEqual([]);
  return report;
}

const ran = engines.filter((engine) => !("missing" in findBinary(engine)));
const reports = new Map<Engine, SnippetReport>();

beforeAll(async () => {
  for (const engine of engines) {
    const found = findBinary(engine);
    if ("missing" in found) {
      console.log(`Not run on ${engine}: ${found.missing}`);
      continue;
    }
    const report = engine === "workerd" ? await tryBuilt() : await tryFromBytes(engine);
    reports.set(engine, report);
    const kills = Object.entries(report.endless).map(
      ([name, { overshootMs, gapMs }]) => `${name} ${overshootMs.toFixed(1)} ms late, longest gap ${gapMs.toFixed(1)} ms`,
    );
    console.log(`Snippets on ${engine} ${found.version}: ${kills.join("; ")}`);
  }
}, 300_000);

function reportOf(engine: Engine): SnippetReport {
  const report = reports.get(engine);
  if (report === undefined) throw new Error(`nothing ran on ${engine}`);
  return report;
}

describe.each(ran)("snippets on %s", (engine) => {
  test.each(Object.keys(engineCases))("give for %s the same output, receipts and fuel as on Node, twice", (name) => {
    const [first, second] = reportOf(engine).same[name] ?? [];
    expect(first?.fuel).toBeGreaterThan(0);
    expect(second).toEqual(first);
    expect(first).toEqual(reportOf("node").same[name]?.[0]);
  });

  test.each(Object.keys(endlessCases))("end at their deadline while the event loop comes round: %s", (name) => {
    const kill = reportOf(engine).endless[name];
    expect(kill?.code).toBe("ERR_LIMIT_TIMEOUT");
    expect(kill?.overshootMs).toBeGreaterThanOrEqual(-1);
    expect(kill?.overshootMs).toBeLessThan(lateMs);
    expect(kill?.gapMs).toBeLessThan(lateMs);
  });

  test("run without a seed too", () => {
    expect(reportOf(engine).plain).toMatchObject({ end: '{"kind":"exited","code":0}', stdout: '["abc","ABC",3,"bac","abc"]' });
  });
});

describe("what was compared", () => {
  test("did what it is for", () => {
    const { same } = reportOf("node");
    const ends = Object.fromEntries(Object.entries(same).map(([name, [first]]) => [name, first?.end]));
    const exited = '{"kind":"exited","code":0}';
    expect(ends).toMatchObject({
      numbers: exited,
      sorting: exited,
      logs: exited,
      "memory that ends": exited,
      "a recursion that is caught": exited,
    });
    expect(ends).toMatchObject({ "an error": '{"kind":"exited","code":1}', "a recursion of the parser": "trapped: call stack exhausted" });
    expect(ends["fuel that ends"]).toBe("ERR_LIMIT_FUEL");
    expect(same["memory that ends"]?.[0]?.stdout).toMatch(/^\[\d+,"InternalError: out of memory"\]$/);
    expect(same["variables"]?.[0]?.stdout).toBe('{"input":[1,{"a":null}],"env":{"GREETING":"hällo"}}');
    expect(same["logs"]?.[0]?.stderr).toContain('line 199 {"i":199}\n');
  });
});
