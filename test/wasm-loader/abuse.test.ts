import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { findBinary } from "../../bench/engines.ts";
import { Attacker, codeOf } from "../engines/workerd/attacker.ts";
import { attackTools, paths, wildNames } from "../engines/workerd/attacks.ts";
import { canary, residentBytes } from "../engines/workerd/oracle.ts";
import { openService, type Service } from "./support.ts";

/**
 * Groups A and B of the corpus, each attack in an isolate beside a victim in another. What is refused before anything is loaded is in
 * `runs.test.ts`.
 */
const timeout = 120;
/** So much later than its deadline an attack may be over on a machine that does other things too. */
const lateMs = 1500;
const MiB = 2 ** 20;

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

describe.skipIf(isMissing).each(["dev", "standard"] as const)("isolates of workerd, profile %s", (security) => {
  let service: Service;
  let attacker: Attacker;
  const lines: string[] = [];

  beforeAll(async () => {
    service = await openService({ tools: attackTools() });
    attacker = new Attacker(service.worker);
    await (await fetch(`${service.worker.url}/victim?nonce=first`)).text();
  });
  afterEach(async ({ task }) => {
    const summary = attacker.summary();
    if (summary !== undefined) lines.push(`  ${task.name}: ${summary}`);
    await attacker.oracle.holds();
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    console.log(lines.join("\n"));
  });

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
    expect(Math.max(...all.map(({ tookMs }) => tookMs))).toBeLessThan(timeout + lateMs);
  });

  test.each(["recurse", "recurse-table"])("A5: %s is a trap, and again and again", async (tool) => {
    for (let count = 0; count < 3; count++) {
      const { result } = await attacker.run({ tool, security });
      expect(result?.exit).toEqual({ kind: "trapped", trap: "call stack exhausted" });
    }
  });

  test.each(["sleep", "sleep-start"])("A6: %s ends at its timeout and at a deadline", async (tool) => {
    expect(codeOf(await attacker.run({ tool, security, resources: { timeout } }))).toBe("ERR_LIMIT_TIMEOUT");
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
    const before = residentBytes(service.worker.pid);
    const attack = await attacker.run({ tool: "touch-memory", security, resources: { memory: "64Mi" } });
    expect(attack.result?.exitCode).toBeGreaterThan(1000);
    expect(residentBytes(service.worker.pid) - before).toBeLessThan(96 * MiB);
  });

  test("B3: four gibibytes from the beginning are over the limit", async () => {
    const { error } = await attacker.run({ tool: "four gibibytes", security });
    expect(error).toMatchObject({ code: "ERR_LIMIT_MEMORY", started: false });
  });

  test.each(["flood-stdout", "flood-stderr", "flood-start"])(
    "C1: %s ends at the output limit, with as much as was allowed",
    async (tool) => {
      // Some write byte by byte, and each byte is an event.
      const { error } = await attacker.run({ tool, security, resources: { output: "8Ki" } });
      expect(error?.code).toBe("ERR_LIMIT_OUTPUT");
      expect((error?.partial?.stdout.length ?? 0) + (error?.partial?.stderr.length ?? 0)).toBe(8192);
    },
  );

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

  test.each(["loop", "sleep", "flood-stdout"])("callers that go away end their runs of %s", async (tool) => {
    const resources = { timeout: 60_000, output: 2 ** 30 };
    const body = JSON.stringify({ tool, security: "dev", resources: security === "dev" ? resources : { timeout: 60_000 } });
    for (let count = 0; count < 6; count++) {
      const socket = connect(Number(new URL(service.worker.url).port), "127.0.0.1");
      socket.write(`POST /run HTTP/1.1\r\nHost: worker\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      await new Promise((resolve) => setTimeout(resolve, 60));
      socket.resetAndDestroy();
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    // The oracle then waits until the process is still.
    expect(codeOf(await attacker.run({ tool: "looking", security }))).toBe("exited 0");
  });

  test("profile hardened is refused: an isolate is no second wall", async () => {
    const { error } = await attacker.run({ tool: "echo", security: "hardened" });
    expect(error).toMatchObject({ code: "ERR_PROFILE_UNSUPPORTED", started: false });
  });
});
