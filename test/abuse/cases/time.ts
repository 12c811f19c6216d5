import { expect } from "vitest";
import { functionType, kinds, moduleOf, nameOf, section, types, u32, vector } from "../modules/binary.ts";
import { receiptOf, type Attack, type Attacker, type Ended } from "../wasm-attacker.ts";
import { each, type WasmCase } from "./case.ts";

/** The wall time that an attack is given, and how much later it may be over on a machine that does other things too. */
const timeout = 150;
const lateMs = 2000;
/** One of the modules has a memory of 105 MB. */
const memory = "128Mi";
const fuel = 1_000_000;

/** What never ends by itself. */
const endless: readonly (readonly [id: string, title: string, modules: readonly string[]])[] = [
  ["A1", "endless loop in the entry point", ["loop"]],
  ["A2", "endless loop in the start function", ["loop-start"]],
  ["A3", "tail-call loop, direct and by table", ["tail-loop", "tail-loop-table"]],
  ["A4", "bulk operations over the whole memory and table, in a loop", ["fill-loop", "copy-loop", "fill-table-loop"]],
  ["A7", "host calls without end, tiny and huge", ["host-calls", "large-host-calls", "huge-host-calls", "poll-storm"]],
  ["A8", "catches every exception and goes on", ["catch-spin"]],
];

interface End {
  readonly name: string;
  readonly code: string;
  readonly request: Omit<Attack, "module">;
}

/** What ends them, with the code that says so. */
const limitEnds: readonly End[] = [
  { name: "wall time", code: "ERR_LIMIT_TIMEOUT", request: { resources: { timeout, memory } } },
  { name: "processor time", code: "ERR_LIMIT_CPU_TIME", request: { resources: { cpuTime: 50, memory } } },
  { name: "fuel", code: "ERR_LIMIT_FUEL", request: { resources: { fuel, memory } } },
];

/** A deadline is for everything: within it a process has to be started too. */
function deadlineFor({ hasProcess }: Attacker): number {
  return hasProcess ? 600 : timeout;
}

/** Whoever ended it: a checkpoint, or where there is a process the signal that stands behind it. */
function enforcers({ hasProcess }: Attacker): RegExp {
  return hasProcess ? /^(?:checkpoint|SIGKILL)$/ : /^checkpoint$/;
}

function checkReceipt(attacker: Attacker, end: string, ended: Ended | undefined): void {
  if (ended === undefined) throw new Error("the attack was not run");
  if (end === "wall time") {
    expect(ended.problem).toMatchObject({ started: true, details: { limit: "timeout", value: timeout } });
    const by = enforcers(attacker);
    expect(receiptOf(ended, "timeout")).toMatchObject({ applied: timeout, enforcedBy: expect.stringMatching(by), hit: "yes" });
    expect(ended.tookMs).toBeLessThan(timeout + lateMs);
  }
  if (end === "processor time") {
    expect(ended.problem).toMatchObject({ started: true, details: { limit: "cpuTime", value: 50 } });
    const { applied, peak, hit, enforcedBy } = receiptOf(ended, "cpuTime");
    expect([applied, hit, enforcedBy]).toEqual([50, "yes", expect.stringMatching(enforcers(attacker))]);
    expect(peak).toBeGreaterThanOrEqual(50);
  }
  if (end === "fuel") {
    expect(ended.problem).toMatchObject({ started: true, details: { limit: "fuel", value: fuel } });
    expect(receiptOf(ended, "fuel")).toMatchObject({ applied: fuel, enforcedBy: "module", hit: "yes", unit: "units" });
  }
}

const endlessCases = endless.map(([id, title, modules]): WasmCase => ({
  id,
  title: `${title}: ends by wall time, processor time, fuel, deadline, and when the caller leaves`,
  async attack(attacker) {
    const deadline = { name: "deadline", code: "ERR_DEADLINE", request: { resources: { memory }, deadline: deadlineFor(attacker) } };
    // A process that is killed is killed whatever it runs, and each costs some time.
    const leaving = attacker.hasProcess ? modules.slice(0, 1) : modules;
    const runs = modules.flatMap((module) => {
      const ends = leaving.includes(module) ? [...limitEnds, deadline] : limitEnds;
      return ends.map((end) => ({ end, title: `${module}, ${end.name}`, attack: { module, ...end.request } }));
    });
    const ended = await attacker.all(Object.fromEntries(runs.map(({ title, attack }) => [title, attack])));
    const codes = runs.map(({ title }) => [title, ended[title]?.code]);
    expect(Object.fromEntries(codes)).toEqual(Object.fromEntries(runs.map(({ title, end }) => [title, end.code])));
    for (const { title, end } of runs) checkReceipt(attacker, end.name, ended[title]);
    for (const module of leaving) expect(await attacker.leave({ module, resources: { memory } })).toBe("ERR_ABORTED");
  },
}));

/** i32.const 0, i32.const 65536, call random_get, drop: ten thousand times, some seconds of work. */
function straightLine(): Uint8Array {
  const call = [0x41, 0, 0x41, 0x80, 0x80, 4, 0x10, 0, 0x1a];
  const code = [0, ...Array.from({ length: 10_000 }, () => call).flat(), 0x0b];
  return moduleOf(
    section(1, vector([functionType([types.i32, types.i32], [types.i32]), functionType([])])),
    section(2, vector([[...nameOf("wasi_snapshot_preview1"), ...nameOf("random_get"), kinds.function, 0]])),
    section(3, vector([[1]])),
    section(5, vector([[0, 2]])),
    section(7, vector([[...nameOf("memory"), kinds.memory, 0], [...nameOf("_start"), kinds.function, 1]])), // oxfmt-ignore
    section(10, vector([[...u32(code.length), ...code]])),
  );
}

const otherTimeCases: readonly WasmCase[] = [
  {
    id: "A1",
    title: "many endless loops at once end at their timeout each",
    async attack(attacker) {
      const many = Array.from({ length: attacker.hasProcess ? 6 : 20 }, () => attacker.codeOf({ module: "loop", resources: { timeout } }));
      expect(new Set(await Promise.all(many))).toEqual(new Set(["ERR_LIMIT_TIMEOUT"]));
    },
  },
  {
    id: "A5",
    title: "recursion until the stack ends is a trap, and again and again",
    async attack(attacker) {
      for (const module of ["recurse", "recurse-table"])
        for (let count = 0; count < 3; count++) expect(await attacker.codeOf({ module })).toBe("trapped call stack exhausted");
    },
  },
  {
    id: "A6",
    title: "sleeps for ever, in the start function too: ends by wall time and deadline, and when the caller leaves",
    async attack(attacker) {
      for (const module of ["sleep", "sleep-start"]) {
        const late = await attacker.run({ module, resources: { timeout } });
        expect(late).toMatchObject({
          code: "ERR_LIMIT_TIMEOUT",
          problem: { started: true, details: { limit: "timeout", value: timeout } },
        });
        expect(receiptOf(late, "timeout")).toMatchObject({ applied: timeout, hit: "yes" });
        expect(await attacker.codeOf({ module, deadline: deadlineFor(attacker) })).toBe("ERR_DEADLINE");
        expect(await attacker.leave({ module })).toBe("ERR_ABORTED");
      }
    },
  },
  {
    id: "A7",
    title: "ten million host calls end at their fuel, and those in one straight line without a loop at the timeout",
    async attack(attacker) {
      const { code, problem } = await attacker.run({ module: "host-calls", resources: { fuel: "10M" } });
      expect(code).toBe("ERR_LIMIT_FUEL");
      // A call of the host's is charged with about what it takes.
      expect(problem?.details["observed"]).toBeLessThan(10_200_000);
      const { code: late, tookMs } = await attacker.run({ module: straightLine(), resources: { timeout } });
      expect(late).toBe("ERR_LIMIT_TIMEOUT");
      expect(tookMs).toBeLessThan(timeout + lateMs);
    },
  },
  {
    id: "A8",
    title: "what a guest catches is its end all the same, and the host gives it nothing more",
    async attack(attacker) {
      expect(await attacker.run({ module: "catch-exit" })).toMatchObject({ code: "exited 3", result: { stdout: "" } });
      // It writes, exits and catches that, and writes again, for ever.
      const { code, result } = await attacker.run({ module: "catch-loop", resources: { output: "256Ki" } });
      expect([code, result?.stdout.length]).toEqual(["exited 3", 65_536]);
      const { code: limited, problem } = await attacker.run({ module: "catch-limit", resources: { output: "64Ki" } });
      expect([limited, problem?.partial?.stdout.length]).toEqual(["ERR_LIMIT_OUTPUT", 65_536]);
    },
  },
  {
    id: "A9",
    title: "a regular expression with exponential back-tracking ends at its timeout",
    async attack(attacker) {
      const module = "regular-expression";
      expect(await attacker.codeOf({ module, input: "aaaa" })).toBe("exited 0");
      const { code, tookMs } = await attacker.run({ module, input: "a".repeat(60), resources: { timeout } });
      expect(code).toBe("ERR_LIMIT_TIMEOUT");
      expect(tookMs).toBeLessThan(timeout + lateMs);
    },
  },
];

/** One function of so many locals and so many times some code. */
function large(locals: number, code: readonly number[], count: number): Uint8Array {
  const declared = [1, ...u32(locals), types.i32];
  const body = new Uint8Array(declared.length + code.length * count + 1);
  body.set(declared);
  for (let at = declared.length; at < body.length - 1; at += code.length) body.set(code, at);
  body[body.length - 1] = 0x0b;
  const head = [1, ...u32(body.length)];
  return Buffer.concat([
    moduleOf(
      section(1, vector([functionType([])])),
      section(3, vector([[0]])),
      section(5, vector([[0, 1]])),
      section(7, vector([[...nameOf("memory"), kinds.memory, 0], [...nameOf("_start"), kinds.function, 0]])), // oxfmt-ignore
    ),
    Uint8Array.from([10, ...u32(head.length + body.length), ...head]),
    body,
  ]);
}

const slowToCompile: Readonly<Record<string, Uint8Array>> = {
  "locals at many loops": large(4000, [0x03, 0x40, 0x0b], 12_500),
  "locals at many branches": large(4000, [0x20, 0, 0x04, 0x40, 0x05, 0x0b], 8000),
  "twenty thousand locals and one": large(20_001, [0x01], 1),
  "one function of two megabytes": large(1, [0x20, 0, 0x1a], 700_000),
};

const compileCases: readonly WasmCase[] = [
  {
    id: "A11",
    title: "what takes minutes to compile is refused before anything is compiled",
    async attack(attacker) {
      const names = Object.keys(slowToCompile);
      for (const module of Object.values(slowToCompile)) expect(WebAssembly.validate(Uint8Array.from(module))).toBe(true);
      const ended = await attacker.all(Object.fromEntries(Object.entries(slowToCompile).map(([name, module]) => [name, { module }])));
      expect(Object.fromEntries(names.map((name) => [name, ended[name]?.problem]))).toMatchObject(
        each(names, { code: "ERR_LIMIT_COMPILE", started: false, details: { limit: "compile" } }),
      );
      expect(Math.max(...Object.values(ended).map(({ tookMs }) => tookMs))).toBeLessThan(10_000);
    },
  },
  {
    id: "A11",
    title: "what is within the bounds takes no minutes",
    async attack(attacker) {
      const { code, tookMs } = await attacker.run({ module: large(500, [0x03, 0x40, 0x0b], 1500) });
      expect(code).toBe("exited 0");
      expect(tookMs).toBeLessThan(lateMs);
    },
  },
];

export const timeCases: readonly WasmCase[] = [...endlessCases, ...otherTimeCases, ...compileCases];
