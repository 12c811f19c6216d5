import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { bundle, engines, findBinary, openWorker, runScript, type Engine } from "../../bench/engines.ts";
import { callingModule } from "../abuse/modules/binary.ts";
import type { BackendReport, Demands } from "./backend/program.ts";
import { deploy } from "./backend/built.ts";
import type { ToolData } from "./backend/tools.ts";
import { throwing } from "./backend/throwing.ts";

const timeoutMs = 250;
/** So much later than its deadline an attack may be over on a machine that does other things too. */
const lateMs = 1500;

const attacks = ["loop", "loop-start", "tail-loop", "catch-spin", "fill-loop", "host-calls"];
const deterministic = { seed: "seed", now: "2026-01-31T12:00:00Z" };
const demands: Demands = {
  endless: [...attacks, "throwing"],
  timeoutMs,
  deterministic: {
    "random bytes and clocks": { tool: "world", deterministic },
    "random bytes and clocks of another seed": { tool: "world", deterministic: { ...deterministic, seed: "other" } },
    Markdown: { tool: "markdown", deterministic, input: { markdown: "# Title\n\n* one\n* two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n" } },
    "a hash": { tool: "hash", deterministic, input: { text: "hello" } },
    "a recursion": { tool: "recurse", deterministic },
    "a limit of fuel": { tool: "loop", deterministic, resources: { fuel: 3_000_000 } },
    "a limit of memory": { tool: "grow-memory", deterministic, resources: { memory: 5_000_000 } },
  },
};

/** Writes 32 random bytes, the time and how long it runs. */
const world = callingModule(
  [
    { name: "random_get", args: [64, 32] },
    { name: "clock_time_get", args: [0, 0n, 96] },
    { name: "clock_time_get", args: [1, 0n, 104] },
    { name: "fd_write", args: [1, 0, 1, 1024] },
  ],
  [64, 0, 0, 0, 48, 0, 0, 0],
);

async function toolData(): Promise<ToolData[]> {
  const files = {
    echo: "../../bench/guests/echo.wasm",
    markdown: "../../examples/tools/markdown-to-html/markdown-to-html.wasm",
    hash: "../../examples/tools/hash/hash.wasm",
    ...Object.fromEntries([...attacks, "recurse", "grow-memory"].map((name) => [name, `../abuse/modules/${name}.wasm`])),
  };
  const read = Object.entries(files).map(async ([name, file]) => {
    return { name, base64: (await readFile(new URL(file, import.meta.url))).toString("base64") };
  });
  const made = Object.entries({ world, throwing: throwing() });
  return [...(await Promise.all(read)), ...made.map(([name, bytes]) => ({ name, base64: Buffer.from(bytes).toString("base64") }))];
}

async function tryOn(engine: Engine, data: readonly ToolData[]): Promise<BackendReport> {
  const head = `import { openSubject, tryBackend } from "./backend/program.ts";
    import { openTools } from "./backend/tools.ts";
    const tools = await openTools(${JSON.stringify(data)}, built);
    const subject = openSubject();
    const report = () => tryBackend(subject, tools, ${JSON.stringify(demands)});`;
  const folder = fileURLToPath(new URL(".", import.meta.url));
  if (engine !== "workerd") {
    return JSON.parse(
      await runScript(engine, await bundle(`const built = {}; ${head} console.log(JSON.stringify(await report()));`, folder), {
        timeoutMs: 50_000,
      }),
    );
  }
  const { modules, code } = await deploy(data);
  const main = `${code} ${head}
    export default { fetch: async () => Response.json(await report()) };`;
  await using worker = await openWorker(await bundle(main, folder), { modules });
  return JSON.parse(await (await fetch(worker.url)).text());
}

const ran = engines.filter((engine) => !("missing" in findBinary(engine)));
const reports = new Map<Engine, BackendReport>();

beforeAll(async () => {
  const data = await toolData();
  for (const engine of engines) {
    const found = findBinary(engine);
    if ("missing" in found) {
      console.log(`Not run on ${engine}: ${found.missing}`);
      continue;
    }
    const report = await tryOn(engine, data);
    reports.set(engine, report);
    const kills = report.kills.map(
      ({ tool, overshootMs, gapMs, turns }) =>
        `  ${tool}: ${overshootMs.toFixed(1)} ms late, longest gap ${gapMs.toFixed(1)} ms, ${turns} turns`,
    );
    console.log(`wasm() on ${engine} ${found.version}, wall deadline ${timeoutMs} ms\n${kills.join("\n")}`);
  }
});

function reportOf(engine: Engine): BackendReport {
  const report = reports.get(engine);
  if (report === undefined) throw new Error(`nothing ran on ${engine}`);
  return report;
}

describe.each(ran)("the backend wasm() on %s", (engine) => {
  test("runs an echo under profile standard", () => {
    const { echo } = reportOf(engine);
    expect(echo).toMatchObject({ code: "exited 0", isolation: "wasm" });
    expect(Buffer.from(echo.stdout, "hex").toString()).toBe('{"text":"hello"}');
  });

  test("refuses profile hardened: nothing here has a second wall", () => {
    expect(reportOf(engine).hardened.code).toBe("ERR_PROFILE_UNSUPPORTED");
  });

  test.each(demands.endless)("ends %s at its deadline while the event loop comes round", (name) => {
    const kill = reportOf(engine).kills.find(({ tool }) => tool === name);
    expect(kill?.code).toBe("ERR_LIMIT_TIMEOUT");
    expect(kill?.overshootMs).toBeGreaterThanOrEqual(-1);
    expect(kill?.overshootMs).toBeLessThan(lateMs);
    expect(kill?.gapMs).toBeLessThan(lateMs);
    // Hundreds, on a machine that has little else to do.
    expect(kill?.turns).toBeGreaterThan(1);
  });

  test.each(Object.keys(demands.deterministic))("gives for %s the same output and fuel as Node, twice", (name) => {
    const [first, second] = reportOf(engine).deterministic[name] ?? [];
    expect(first?.fuel).toBeGreaterThan(0);
    expect(second).toEqual(first);
    expect(first).toEqual(reportOf("node").deterministic[name]?.[0]);
  });
});

describe("what was compared", () => {
  test("the tasks did what they are for", () => {
    const endings = reportOf("node").deterministic;
    const [bytes, others] = [endings["random bytes and clocks"]?.[0], endings["random bytes and clocks of another seed"]?.[0]];
    expect(bytes).toMatchObject({ code: "exited 0", stdout: expect.stringMatching(/^[0-9a-f]{96}$/) });
    expect(others?.stdout.slice(0, 64)).not.toBe(bytes?.stdout.slice(0, 64));
    // 2026-01-31T12:00:00Z in nanoseconds, little-endian, and the little that it ran before it asked.
    const shownNs = Buffer.from(bytes?.stdout ?? "", "hex").readBigUInt64LE(32);
    expect(Number(shownNs / 1_000_000n)).toBe(Date.parse("2026-01-31T12:00:00Z"));
    expect(Buffer.from(endings["Markdown"]?.[0]?.stdout ?? "", "hex").toString()).toContain("<li>one</li>");
    expect(endings["a recursion"]?.[0]).toMatchObject({ trap: "call stack exhausted" });
    expect(endings["a limit of fuel"]?.[0]).toMatchObject({ code: "ERR_LIMIT_FUEL" });
    expect(endings["a limit of memory"]?.[0]).toMatchObject({ code: "exited 76" });
  });
});
