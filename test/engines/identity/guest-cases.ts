import type { ProbeAction } from "../../../src/conformance/index.ts";
import type { ExecutionRequest } from "../../../src/wire.ts";
import { fixed, type Draft } from "./drafts.ts";
import type { Random } from "./random.ts";
import { traps } from "./tools.ts";

type Named = readonly [name: string, draft: Draft];

function run(tool: string, rest: Omit<ExecutionRequest, "tool"> = {}): Draft {
  return { body: { tool, ...rest } };
}

const text = (value: string): { readonly text: string } => ({ text: value });

/** What the probe is told: streams, files, exit codes, memory, time. */
const actions: Readonly<Record<string, ProbeAction>> = {
  "what it is given": { do: "echo", text: "é\u0000😀" },
  "bytes that are no UTF-8": { do: "write", hex: "ff00c328e28290c0" },
  "a character cut in two": { do: "steps", steps: [{ do: "write", hex: "f09f" }, { do: "write", hex: "9880" }] },
  "both streams": { do: "steps", steps: [{ do: "write", text: "out\n" }, { do: "write", to: "stderr", text: "err\n" }, { do: "exit", code: 3 }] },
  "many small writes": { do: "write", text: "line\n", count: 400 },
  "more than is captured": { do: "fill", bytes: 200_000, chunk: 10_007 },
  "more than is captured of stderr": { do: "fill", bytes: 90_000, to: "stderr" },
  "exit code 0": { do: "exit", code: 0 },
  "exit code 255": { do: "exit", code: 255 },
  "a trap": { do: "steps", steps: [{ do: "write", text: "before" }, { do: "trap" }] },
  "no such file": { do: "read", path: "missing" },
  "a path outside": { do: "read", path: "../../etc/passwd" },
  "a folder as a file": { do: "read", path: "out" },
  "files made": { do: "steps", steps: [{ do: "save", path: "out/a.txt", text: "é" }, { do: "save", path: "out/deep/er/b", bytes: 70_000 }, { do: "list" }] },
  "many files made": { do: "save", path: "out/n", count: 40, text: "x" },
  "too many files made": { do: "save", path: "out/n", count: 300, text: "x" },
  "a file where none may be": { do: "save", path: "x", text: "x" },
  "a file made and removed": { do: "steps", steps: [{ do: "save", path: "tmp/a", text: "x" }, { do: "remove", path: "tmp/a" }, { do: "list" }] },
  "no environment": { do: "env" },
  "a sleep": { do: "sleep", ms: 20 },
  "memory": { do: "allocate", bytes: 12 * 2 ** 20 },
  "a heartbeat": { do: "heartbeat", count: 5, everyMs: 3 },
  "what nobody knows": { do: "steps", steps: [{ do: "write", text: "x" }, { do: "signal", name: "SIGTERM" }] },
}; // oxfmt-ignore

function probeCases(random: Random): Named[] {
  return Object.entries(actions).map(([name, action]) => [`probe: ${name}`, run("probe", { input: action, ...fixed(random) })]);
}

const fill: ProbeAction = { do: "fill", bytes: 300_000, chunk: 5000 };
const save: ProbeAction = { do: "save", path: "out/big", bytes: 2_000_000 };
const allocate: ProbeAction = { do: "allocate", bytes: 2 ** 30 };

/** Each limit, hit. Those of time go by the real clock: only that they end the run is the same everywhere. */
function limitCases(random: Random): Named[] {
  const fuel = ["loop", "loop-start", "tail-loop", "fill-loop", "copy-loop", "host-calls", "catch-spin", "flood"].map((tool): Named => [
    `fuel: ${tool}`,
    run(tool, { resources: { fuel: 100_000 + random.below(3_000_000) }, ...fixed(random) }),
  ]);
  const timed: Named[] = [
    ["timeout: an endless loop", run("loop", { resources: { timeout: 60 } })],
    ["timeout: deterministic all the same", run("loop", { resources: { timeout: 60 }, ...fixed(random) })],
    ["cpuTime: an endless loop", run("loop", { resources: { cpuTime: 30 } })],
    ["deadline: a sleep", run("sleep", { deadline: "3s" })],
  ];
  const sized: Named[] = [
    ["output: too much", run("probe", { input: fill, resources: { output: "64Ki" }, ...fixed(random) })],
    ["output: without end", run("flood-stdout", { resources: { output: 10_001 }, ...fixed(random) })],
    ["output: stderr without end", run("flood-stderr", { resources: { output: "32Ki" }, ...fixed(random) })],
    ["output: an exit that was caught", run("catch-limit", { resources: { output: "64Ki" }, ...fixed(random) })],
    ["disk: too much", run("probe", { input: save, resources: { disk: "1Mi" }, ...fixed(random) })],
    ["disk: enough", run("probe", { input: save, resources: { disk: "3Mi" }, ...fixed(random) })],
    ["memory: too much", run("probe", { input: allocate, resources: { memory: "8Mi" }, ...fixed(random) })],
    ["memory: memory.grow to its cap", run("grow-memory", { resources: { memory: 100 * 65_536 }, ...fixed(random) })],
    ["memory: less than it begins with", run("probe", { resources: { memory: 65_536 } })],
    ["memory: tables", run("grow-tables", fixed(random))],
    ["memory: clamped", run("exit", { resources: { memory: "100Gi" } })],
    ["fuel: enough", run("exit", { resources: { fuel: 1000 } })],
    ["fuel: none to speak of", run("probe", { resources: { fuel: 1 } })],
    ["processes", run("exit", { resources: { processes: 1, cpu: 1 } })],
  ];
  return [...fuel, ...timed, ...sized];
}

function refusalCases(): Named[] {
  return [
    ["refused: no such tool", run("hahs")],
    ["refused: no such version", run("hash@9.0.0")],
    ["refused: hardened", run("exit", { security: "hardened" })],
    ["refused: a module that is none", run("broken")],
    ["refused: an input that does not fit", run("hash", { input: { txet: "x" } })],
    ["refused: an input that is text", run("json-query", { input: "text" })],
    ["refused: a limit that is none", { body: '{"tool":"exit","resources":{"memroy":1}}' }],
    ["refused: a quantity that is none", run("exit", { resources: { memory: "lots" } })],
    ["refused: a seed that is none", run("exit", { deterministic: { seed: 0.5, now: 0 } })],
    ["refused: a time that is none", run("exit", { deterministic: { seed: 1, now: "tomorrow" } })],
    ["refused: a path that leaves", run("exit", { files: { "../x": text("x") } })],
    ["refused: a blob that is not there", run("exit", { files: { x: { digest: `sha256:${"0".repeat(64)}` } } })],
    ["refused: base64 that is none", run("exit", { files: { x: { base64: "%%%" } } })],
    ["refused: no JSON", { body: '{"tool":"exit",}' }],
    ["refused: JSON that ends", { body: '{"tool":"exit"' }],
    ["refused: JSON with a bad escape", { body: '{"tool":"ex\\qit"}' }],
    ["refused: JSON and more", { body: '{"tool":"exit"} x' }],
    ["refused: nothing", { body: "" }],
    ["refused: nested too deep", { body: `{"tool":"exit","input":${"[".repeat(200_000)}${"]".repeat(200_000)}}` }],
    ["refused: a key twice", { body: '{"tool":"exit","tool":"exit"}' }],
    ["refused: a number too large", { body: '{"tool":"exit","input":1e999}' }],
    ["refused: prototype keys", { body: '{"tool":"exit","security":"standard","input":{"__proto__":1}}' }],
  ];
}

export function guestCases(random: Random): Named[] {
  const input = random.text(30);
  const files = { "in/data.txt": text("from the host\n"), "a b": text("é") };
  return [
    ...probeCases(random),
    ...traps.map((trap): Named => [`trap: ${trap}`, run(`trap-${trap}`, fixed(random))]),
    ...["recurse", "recurse-table", "throwing"].map((tool): Named => [
      `guest: ${tool}`,
      run(tool, { resources: { fuel: 40_000_000 }, ...fixed(random) }),
    ]),
    ...["catch-exit", "catch-loop", "touch-memory", "leftovers", "exit"].map((tool): Named => [`guest: ${tool}`, run(tool, fixed(random))]),
    ["guest: stdio", run("stdio", { input: { input }, env: { GIVEN: "é", OTHER: "" }, ...fixed(random) })],
    ["guest: files", run("files", { files, ...fixed(random) })],
    ["guest: escape", run("escape", fixed(random))],
    ["guest: wild", run("wild", fixed(random))],
    ["guest: wait", run("wait", fixed(random))],
    ["probe: files given", run("probe", { input: { do: "list" }, files, ...fixed(random) })],
    ["probe: an environment", run("probe", { input: { do: "env" }, env: { B: "2", A: "1=1", ü: "x" }, ...fixed(random) })],
    ["probe: without a fixed clock", run("probe", { input: { do: "echo", text: input } })],
    ["world: one seed", run("world", { deterministic: { seed: "one", now: 0 } })],
    ["world: a number as seed", run("world", { deterministic: { seed: -1, now: "2026-01-31T12:00:00.123+02:00" } })],
    ["world: the same as text", run("world", { deterministic: { seed: "-1", now: "2026-01-31T10:00:00.123Z" } })],
    ["standard: a stricter profile", run("probe", { input: { do: "echo" }, security: "standard", ...fixed(random) })],
    ["standard: over its maxima", run("exit", { security: "standard", resources: { memory: "100Gi" } })],
    ...limitCases(random),
    ...refusalCases(),
  ];
}
