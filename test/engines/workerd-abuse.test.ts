import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { findBinary } from "../../bench/engines.ts";
import { emptyCommand } from "../abuse/modules/binary.ts";
import { codeOf, openAttacker, type Attacker, type AttackerOptions } from "./workerd/attacker.ts";
import { paths, wildNames } from "./workerd/attacks.ts";
import { maxArtifactBytes, mutants, refused } from "./workerd/malformed.ts";
import { canary, residentBytes } from "./workerd/oracle.ts";

/**
 * Groups A and B of the corpus in a worker. Not asked there: A10 and what else needs processes. Not to be asked on this
 * machine: the limits of time and memory of Cloudflare's own, which a workerd that runs alone has not.
 */
const timeout = 120;
/** So much later than its deadline an attack may be over on a machine that does other things too. */
const lateMs = 1500;
const MiB = 2 ** 20;
const notCompiled = "ERR_ARTIFACT_UNSUPPORTED";

const endless: Readonly<Record<string, readonly string[]>> = {
  A1: ["loop"],
  A2: ["loop-start"],
  A3: ["tail-loop", "tail-loop-table"],
  A4: ["fill-loop", "copy-loop", "fill-table-loop"],
  A7: ["host-calls", "large-host-calls", "poll-storm"],
  A8: ["catch-spin", "throwing"],
};
const attacks = Object.entries(endless).flatMap(([id, names]) => names.map((name) => [`${id}: ${name}`, name] as const));

const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);
else console.log(`Attacked on workerd ${found.version}`);

let attacker: Attacker;

function useAttacker(options: AttackerOptions): void {
  const lines: string[] = [];
  beforeAll(async () => {
    attacker = await openAttacker(options);
  });
  afterEach(async ({ task }) => {
    const summary = attacker.summary();
    if (summary !== undefined) lines.push(`  ${task.name}: ${summary}`);
    await attacker.oracle.holds();
  });
  afterAll(async () => {
    await attacker[Symbol.asyncDispose]();
    console.log(lines.join("\n"));
  });
}

describe.skipIf(isMissing).each(["dev", "standard"] as const)("workerd, profile %s", (security) => {
  useAttacker({ clocks: "moving" });

  test.each(attacks)("%s ends by wall time, by processor time and by fuel", async (_, tool) => {
    const late = await attacker.run({ tool, security, resources: { timeout } });
    expect(late.error).toMatchObject({ code: "ERR_LIMIT_TIMEOUT", started: true, details: { limit: "timeout", value: timeout } });
    expect(late.tookMs).toBeLessThan(timeout + lateMs);
    expect(late.error?.partial?.limits.find(({ limit }) => limit === "timeout")).toMatchObject({ applied: timeout, hit: "yes" });
    expect(codeOf(await attacker.run({ tool, security, resources: { cpuTime: 30 } }))).toBe("ERR_LIMIT_CPU_TIME");
    expect(codeOf(await attacker.run({ tool, security, resources: { fuel: 1_000_000 } }))).toBe("ERR_LIMIT_FUEL");
  });

  test("A1: twenty at once end at their timeout each", async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => attacker.run({ tool: "loop", security, resources: { timeout } })));
    expect(new Set(all.map(codeOf))).toEqual(new Set(["ERR_LIMIT_TIMEOUT"]));
    const last = all.toSorted((a, b) => a.tookMs - b.tookMs).at(-1);
    expect(last?.tookMs).toBeLessThan(timeout + lateMs);
  });

  test.each(["recurse", "recurse-table"])("A5: %s is a trap, and again and again", async (tool) => {
    for (let count = 0; count < 3; count++) {
      const { result } = await attacker.run({ tool, security });
      expect(result?.exit).toEqual({ kind: "trapped", trap: "call stack exhausted" });
    }
  });

  test.each(["sleep", "sleep-start"])("A6: %s ends at its timeout and at a deadline", async (tool) => {
    const late = await attacker.run({ tool, security, resources: { timeout } });
    expect(codeOf(late)).toBe("ERR_LIMIT_TIMEOUT");
    expect(codeOf(await attacker.run({ tool, security, deadline: "100ms" }))).toBe("ERR_DEADLINE");
  });

  test("A8: what is caught is the end all the same", async () => {
    expect(codeOf(await attacker.run({ tool: "catch-exit", security }))).toBe("exited 3");
    const { result } = await attacker.run({ tool: "catch-loop", security });
    expect([result?.exitCode, result?.stdout.length]).toEqual([3, 65_536]);
    const { error } = await attacker.run({ tool: "catch-limit", security, resources: { output: "64Ki" } });
    expect([error?.code, error?.partial?.stdout.length]).toEqual(["ERR_LIMIT_OUTPUT", 65_536]);
  });

  test("A9: a regular expression with exponential back-tracking ends at its timeout", async () => {
    const late = await attacker.run({ tool: "regular-expression", security, input: "a".repeat(60), resources: { timeout } });
    expect(codeOf(late)).toBe("ERR_LIMIT_TIMEOUT");
  });

  test("B1: memory.grow and table.grow end at their caps", async () => {
    const { result } = await attacker.run({ tool: "grow-memory", security, resources: { memory: 100 * 65_536 } });
    expect(result?.exitCode).toBe(100);
    expect(result?.limits.find(({ limit }) => limit === "memory")).toMatchObject({ applied: 100 * 65_536, hit: "yes" });
    expect(codeOf(await attacker.run({ tool: "grow-tables", security }))).toBe("exited 200000");
  });

  test("B2: touching every page stays inside the limit, resident", async () => {
    const before = residentBytes(attacker.worker.pid);
    const attack = await attacker.run({ tool: "touch-memory", security, resources: { memory: "64Mi" } });
    expect(attack.result?.exitCode).toBeGreaterThan(1000);
    expect(residentBytes(attacker.worker.pid) - before).toBeLessThan(96 * MiB);
  });

  test("B3: four gibibytes from the beginning are over the limit", async () => {
    const { error } = await attacker.run({ tool: "four gibibytes", security });
    expect(error).toMatchObject({ code: "ERR_LIMIT_MEMORY", started: false });
  });

  test("B8: exports named then, __proto__ and constructor are never awaited or touched", async () => {
    expect(codeOf(await attacker.run({ tool: "odd exports", security }))).toBe("exited 0");
  });

  test.each(wildNames)("B9: %s is a trap of the ABI", async (tool) => {
    const { result } = await attacker.run({ tool, security });
    expect([result?.exit, result?.stdout]).toEqual([{ kind: "trapped", trap: "abi" }, ""]);
  });

  test("B11: nothing is left of an earlier run, one after the other or at once", async () => {
    for (let count = 0; count < 5; count++) expect(codeOf(await attacker.run({ tool: "leftovers", security }))).toBe("exited 0");
    const all = await Promise.all(Array.from({ length: 20 }, () => attacker.run({ tool: "leftovers", security })));
    expect(new Set(all.map(codeOf))).toEqual(new Set(["exited 0"]));
  });

  test.each(paths)("B12: %s is not to be opened", async (path) => {
    const { result } = await attacker.run({ tool: `opens ${path}`, security });
    expect(result?.exit).toEqual({ kind: "exited", code: expect.any(Number) });
    expect(result?.exitCode).not.toBe(0);
  });

  test("B13: environment and arguments are what the task gave", async () => {
    const { result } = await attacker.run({ tool: "looking", security, env: { GIVEN: "this" } });
    expect(result?.stdout.split("\0").filter((part) => part !== "")).toEqual(["GIVEN=this", "attack"]);
    expect(result?.stdout).not.toContain(canary.name);
  });
});

describe.skipIf(isMissing)("workerd, what ingest refuses inside a request", () => {
  useAttacker({ clocks: "moving", wasm: { maxArtifactBytes } });

  test.each(refused)("$name", async ({ code, make }) => {
    expect(await attacker.ingest([make()])).toMatchObject([{ code, started: false }]);
  });

  test("B4: three hundred mutants of a good module: each is refused, or would be compiled", async () => {
    const codes = (await attacker.ingest(mutants(emptyCommand({ exports: ["one", "two"] }), 300))).map(({ code }) => code);
    expect(codes.filter((code) => code === "ERR_ARTIFACT_INVALID").length).toBeGreaterThan(150);
    for (const code of codes) expect(["ERR_ARTIFACT_INVALID", "ERR_IMPORT_DENIED", notCompiled]).toContain(code);
  });

  test("B10: bytes that differ from the registered digest", async () => {
    const errors = await attacker.ingest([emptyCommand()], `sha256:${"0".repeat(64)}`);
    expect(errors).toMatchObject([{ code: "ERR_DIGEST_MISMATCH", started: false }]);
  });

  test("a good module that comes with a request is refused with a word of its own: workerd compiles only while it starts", async () => {
    expect(await attacker.ingest([emptyCommand()])).toMatchObject([{ code: notCompiled, started: false }]);
  });

  test("profile hardened is refused: there is no second wall", async () => {
    const { error } = await attacker.run({ tool: "echo", security: "hardened" });
    expect(error).toMatchObject({ code: "ERR_PROFILE_UNSUPPORTED", started: false });
  });
});

describe.skipIf(isMissing)("workerd, with clocks that stand still while code runs", () => {
  useAttacker({ clocks: "frozen" });

  test.each(attacks)("%s ends at its timeout while others are served", async (_, tool) => {
    const late = await attacker.run({ tool, security: "standard", resources: { timeout } });
    expect(codeOf(late)).toBe("ERR_LIMIT_TIMEOUT");
    expect(late.tookMs).toBeLessThan(timeout + lateMs);
    // Nothing but the number of slices tells when the event loop should have a turn.
    expect(late.turns).toBeGreaterThan(1);
  });
});

describe.skipIf(isMissing)("workerd, when callers go away", () => {
  const maxInstances = 3;
  useAttacker({ clocks: "moving", wasm: { maxInstances } });

  test.each(["loop", "sleep"])("their runs of %s end, and keep no place", async (tool) => {
    const body = JSON.stringify({ tool, security: "standard", resources: { timeout: 60_000 } });
    for (let count = 0; count < 3 * maxInstances; count++) {
      const socket = connect(Number(new URL(attacker.worker.url).port), "127.0.0.1");
      socket.write(`POST /run HTTP/1.1\r\nHost: worker\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      await new Promise((resolve) => setTimeout(resolve, 60));
      socket.resetAndDestroy();
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    expect(codeOf(await attacker.run({ tool: "looking", security: "standard" }))).toBe("exited 0");
  });
});
