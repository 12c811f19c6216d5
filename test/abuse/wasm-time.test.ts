import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Limit, LimitReceipt } from "../../src/index.ts";
import { functionType, kinds, moduleOf, nameOf, section, types, u32, vector } from "./modules/binary.ts";
import { inlineProfiles, toolFrom, toolOf, under, useOracle } from "./wasm-support.ts";

const MiB = 2 ** 20;
/** The wall time that an attack is given, and how much later it may be over on a machine that does other things too. */
const timeout = 150;
const lateMs = 2000;

useOracle();

function receiptOf(limits: readonly LimitReceipt[] | undefined, limit: Limit): LimitReceipt {
  const receipt = limits?.find((one) => one.limit === limit);
  if (receipt === undefined) throw new Error(`there is no receipt of ${limit}`);
  return receipt;
}

/** What never ends by itself, by the attack that it is. */
const endless: Readonly<Record<string, readonly string[]>> = {
  A1: ["loop"],
  A2: ["loop-start"],
  A3: ["tail-loop", "tail-loop-table"],
  A4: ["fill-loop", "copy-loop", "fill-table-loop"],
  A7: ["host-calls", "large-host-calls", "huge-host-calls", "poll-storm"],
  A8: ["catch-spin"],
};
const attacks = Object.entries(endless).flatMap(([id, names]) => names.map((name) => [`${id}: ${name}`, name] as const));

describe.each(inlineProfiles)("A and C: time and output, profile %s", (security) => {
  const { codeOf, errorOf, resultOf } = under(security);

  test.each(attacks)("%s ends at its timeout, at its processor time, and when its fuel is used up", async (_, name) => {
    const tool = await toolFrom(name);
    const before = performance.now();
    const late = await errorOf({ tool, resources: { timeout } });
    expect(performance.now() - before).toBeLessThan(timeout + lateMs);
    expect(late).toMatchObject({ code: "ERR_LIMIT_TIMEOUT", started: true, details: { limit: "timeout", value: timeout } });
    expect(receiptOf(late.partial?.limits, "timeout")).toMatchObject({ applied: timeout, enforcedBy: "checkpoint", hit: "yes" });

    const busy = await errorOf({ tool, resources: { cpuTime: 50 } });
    expect(busy).toMatchObject({ code: "ERR_LIMIT_CPU_TIME", started: true, details: { limit: "cpuTime", value: 50 } });
    const { applied, peak, hit, enforcedBy } = receiptOf(busy.partial?.limits, "cpuTime");
    expect([applied, hit, enforcedBy]).toEqual([50, "yes", "checkpoint"]);
    expect(peak).toBeGreaterThanOrEqual(50);

    const fuel = 1_000_000;
    const empty = await errorOf({ tool, resources: { fuel } });
    expect(empty).toMatchObject({ code: "ERR_LIMIT_FUEL", started: true, details: { limit: "fuel", value: fuel } });
    expect(receiptOf(empty.partial?.limits, "fuel")).toMatchObject({ applied: fuel, enforcedBy: "module", hit: "yes", unit: "units" });
    expect(performance.now() - before).toBeLessThan(timeout + 3 * lateMs);
  });

  test.each(attacks)("%s ends at a deadline, and when it is aborted", async (_, name) => {
    const tool = await toolFrom(name);
    const before = performance.now();
    expect(await errorOf({ tool }, { deadline: "100ms" })).toMatchObject({ code: "ERR_DEADLINE", started: true });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    expect(await codeOf({ tool }, { signal: controller.signal })).toBe("ERR_ABORTED");
    expect(performance.now() - before).toBeLessThan(200 + 2 * lateMs);
  });

  test("A1: twenty at once end at their timeout each", async () => {
    const tool = await toolFrom("loop");
    const before = performance.now();
    const codes = await Promise.all(Array.from({ length: 20 }, () => codeOf({ tool, resources: { timeout } })));
    expect(new Set(codes)).toEqual(new Set(["ERR_LIMIT_TIMEOUT"]));
    expect(performance.now() - before).toBeLessThan(timeout + lateMs);
  });

  test("A7: ten million host calls end at their fuel, whatever they do", async () => {
    const error = await errorOf({ tool: await toolFrom("host-calls"), resources: { fuel: "10M", timeout: "5s" } });
    expect(error.code).toBe("ERR_LIMIT_FUEL");
    // A call of the host's is charged with about what it takes.
    expect(error.details["observed"]).toBeLessThan(10_200_000);
  });

  test("A7: host calls in one straight line without a loop end at the timeout too", async () => {
    // i32.const 0, i32.const 65536, call random_get, drop: ten thousand times, some seconds of work.
    const call = [0x41, 0, 0x41, 0x80, 0x80, 4, 0x10, 0, 0x1a];
    const code = [0, ...Array.from({ length: 10_000 }, () => call).flat(), 0x0b];
    const bytes = moduleOf(
      section(1, vector([functionType([types.i32, types.i32], [types.i32]), functionType([])])),
      section(2, vector([[...nameOf("wasi_snapshot_preview1"), ...nameOf("random_get"), kinds.function, 0]])),
      section(3, vector([[1]])),
      section(5, vector([[0, 2]])),
      section(7, vector([[...nameOf("memory"), kinds.memory, 0], [...nameOf("_start"), kinds.function, 1]])), // oxfmt-ignore
      section(10, vector([[...u32(code.length), ...code]])),
    );
    const before = performance.now();
    expect(await codeOf({ tool: await toolOf(bytes), resources: { timeout } })).toBe("ERR_LIMIT_TIMEOUT");
    expect(performance.now() - before).toBeLessThan(timeout + lateMs);
  });

  test("A8: a poisoned instance gets nothing more from the host, and ends however it goes on", async () => {
    // It writes, exits and catches that, and writes again, for ever.
    const { exitCode, stdout } = await resultOf({ tool: await toolFrom("catch-loop"), resources: { timeout: "5s", output: "1Mi" } });
    expect([exitCode, stdout.length]).toEqual([3, 65_536]);
  });

  test("A9: a regular expression with exponential back-tracking ends at its timeout", async () => {
    const tool = await toolOf(readFileSync(new URL("modules/regular-expression.wasm", import.meta.url)));
    expect(await resultOf({ tool, input: "aaaa" })).toMatchObject({ exitCode: 0 });
    const before = performance.now();
    expect(await codeOf({ tool, input: "a".repeat(60), resources: { timeout } })).toBe("ERR_LIMIT_TIMEOUT");
    expect(performance.now() - before).toBeLessThan(timeout + lateMs);
  });

  /** One function of so many locals and so many times some code. */
  function large(locals: number, code: readonly number[], count: number): Uint8Array<ArrayBuffer> {
    const declared = [1, ...u32(locals), types.i32];
    const body = new Uint8Array(declared.length + code.length * count + 1);
    body.set(declared);
    for (let at = declared.length; at < body.length - 1; at += code.length) body.set(code, at);
    body[body.length - 1] = 0x0b;
    const head = [1, ...u32(body.length)];
    return Uint8Array.from(
      Buffer.concat([
        moduleOf(
          section(1, vector([functionType([])])),
          section(3, vector([[0]])),
          section(5, vector([[0, 1]])),
          section(7, vector([[...nameOf("memory"), kinds.memory, 0], [...nameOf("_start"), kinds.function, 0]])), // oxfmt-ignore
        ),
        Uint8Array.from([10, ...u32(head.length + body.length), ...head]),
        body,
      ]),
    );
  }
  const slowToCompile: Readonly<Record<string, () => Uint8Array<ArrayBuffer>>> = {
    "locals at many loops": () => large(4000, [0x03, 0x40, 0x0b], 12_500),
    "locals at many branches": () => large(4000, [0x20, 0, 0x04, 0x40, 0x05, 0x0b], 8000),
    "twenty thousand locals and one": () => large(20_001, [0x01], 1),
    "one function of two megabytes": () => large(1, [0x20, 0, 0x1a], 700_000),
  };
  test.each(Object.entries(slowToCompile))("A11: %s are refused before anything is compiled", async (_, make) => {
    const bytes = make();
    expect(WebAssembly.validate(bytes)).toBe(true);
    const before = performance.now();
    expect(await errorOf({ tool: await toolOf(bytes) })).toMatchObject({
      code: "ERR_LIMIT_COMPILE",
      started: false,
      details: { limit: "compile" },
    });
    expect(performance.now() - before).toBeLessThan(2000);
  });

  test("A11: what is within the bounds takes no minutes", async () => {
    const before = performance.now();
    expect(await codeOf({ tool: await toolOf(large(500, [0x03, 0x40, 0x0b], 1500)) })).toBe("exited 0");
    expect(performance.now() - before).toBeLessThan(2000);
  });

  test.each(["recurse", "recurse-table"])("A5: %s is a trap, and again and again", async (name) => {
    const tool = await toolFrom(name);
    for (let count = 0; count < 5; count++) {
      expect((await resultOf({ tool })).exit).toEqual({ kind: "trapped", trap: "call stack exhausted" });
    }
  });

  test.each(["sleep", "sleep-start"])("A6: %s ends at the deadline, and when it is aborted", async (name) => {
    const tool = await toolFrom(name);
    const before = performance.now();
    expect(await errorOf({ tool }, { deadline: "100ms" })).toMatchObject({ code: "ERR_DEADLINE", started: true });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    expect(await codeOf({ tool }, { signal: controller.signal })).toBe("ERR_ABORTED");
    expect(performance.now() - before).toBeLessThan(2000);
  });

  test("A8: a caught exit is the exit all the same, and nothing that comes after it counts", async () => {
    expect(await resultOf({ tool: await toolFrom("catch-exit") })).toMatchObject({ exitCode: 3, stdout: "" });
  });

  test("A8: a caught limit is the limit all the same", async () => {
    const { code, partial } = await errorOf({ tool: await toolFrom("catch-limit"), resources: { output: "64Ki" } });
    expect([code, partial?.stdout.length]).toEqual(["ERR_LIMIT_OUTPUT", 65_536]);
  });

  test.each([
    ["flood-stdout", "stdout"],
    ["flood-stderr", "stderr"],
    ["flood-start", "stdout"],
  ] as const)("C1: %s ends at the limit of output, with what came first", async (name, stream) => {
    const error = await errorOf({ tool: await toolFrom(name), resources: { output: "256Ki" } });
    expect(error).toMatchObject({ code: "ERR_LIMIT_OUTPUT", started: true, details: { limit: "output", value: 262_144 } });
    expect(error.partial?.[stream]).toMatch(/^(x{65536}|e{65536})$/);
    expect(error.partial?.truncated[stream]).toBe(true);
    const limits = Object.fromEntries((error.partial?.limits ?? []).map((receipt) => [receipt.limit, receipt]));
    expect(limits["output"]).toMatchObject({ applied: 262_144, hit: "yes" });
    // Also of a run that was ended from outside, the enforcers are read.
    expect(limits["memory"]).toMatchObject({ enforcedBy: "module", applied: expect.any(Number) });
  });

  test("C1: an endless writer gives way to the deadline", async () => {
    const call = { deadline: "150ms", onEvent: () => undefined };
    const before = performance.now();
    expect(await codeOf({ tool: await toolFrom("flood-stdout") }, call)).toBe("ERR_DEADLINE");
    expect(performance.now() - before).toBeLessThan(2000);
  });

  test("a file with two hundred names is not handed out two hundred times", async () => {
    const before = process.memoryUsage().rss;
    expect(await codeOf({ tool: await toolFrom("hard-links") })).toBe("ERR_LIMIT_DISK");
    expect(process.memoryUsage().rss - before).toBeLessThan(700 * MiB);
  });
});
