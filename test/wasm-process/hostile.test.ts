import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Call, Task } from "../../src/index.ts";
import { emptyCommand } from "../abuse/modules/binary.ts";
import { codeOf, errorOf, openBench, toolOf, until } from "./support.ts";

/** Fakes stand at the wire: the service is the real one, and so are the processes. */
const { runtime, pids } = openBench({ fake: "hostile", maxChildren: 2 });
/** A module that the service takes; what the child makes of it is the attack. */
const bytes = emptyCommand();

async function attack(name: string, task: Partial<Task> = {}, call: Call = {}): Promise<ReturnType<typeof runtime.execute>> {
  return runtime.execute({ tool: await toolOf(bytes, name), ...task }, { deadline: "5s", ...call });
}

describe("a hostile child", () => {
  it("is taken for an honest one as long as it keeps to the protocol", async () => {
    const { stdout, exitCode } = await attack("honest");
    expect([stdout, exitCode]).toEqual(["well", 0]);
  });

  it.each([
    "junk",
    "oversize-output",
    "oversize-file",
    "oversize-json",
    "empty-output",
    "output-first",
    "starts-twice",
    "other-run",
    "commands-the-service",
    "leads-elsewhere",
    "too-many-files",
    "no-json",
    "no-utf8",
    "strange-report",
    "huge-number",
    "claims-a-signal",
    "prototype",
    "unknown-code",
    "floods-stderr",
    "closes-the-channel",
    "done-for-bound",
  ])("is killed and reported: %s", async (name) => {
    await attack("honest");
    // While it starts, a process becomes one program after the other, and is not seen in between.
    await until("the honest child and a spare are there", () => pids().length >= 2);
    const error = await errorOf(attack(name));
    expect([error.code, error.retryable]).toEqual(["ERR_BACKEND_FAILED", true]);
    expect(error.message).toMatch(/broke the protocol|floods its stderr|ended by SIGKILL/);
    expect(Object.keys(Object.prototype)).toEqual([]);
    // Whichever process attacked, one that waited or one more: when it is gone the honest one is there, and one that waits.
    await until("the attacker is gone", () => pids().length <= 2);
  });

  it("that writes without end is held to the output limit, and the service's memory to what it keeps", async () => {
    const error = await errorOf(attack("endless-output", { resources: { output: "64Ki" } }));
    expect(error.code).toBe("ERR_LIMIT_OUTPUT");
    expect(error.partial?.stdout.length).toBe(64 * 1024);
  });

  it("that begins a frame and never ends it is ended with the run's time", async () => {
    const rss = process.memoryUsage().rss;
    expect(await codeOf(attack("half-frame", { resources: { timeout: "200ms" } }))).toBe("ERR_LIMIT_TIMEOUT");
    expect(process.memoryUsage().rss - rss).toBeLessThan(64 * 2 ** 20);
  });

  it.each(["never-starts", "deaf", "never-bound"])("that does not answer is ended with the deadline: %s", async (name) => {
    const input = name === "deaf" ? "x".repeat(3_000_000) : "";
    const begun = performance.now();
    expect(await codeOf(attack(name, { input }, { deadline: "300ms" }))).toBe("ERR_DEADLINE");
    expect(performance.now() - begun).toBeLessThan(2000);
  });

  it("that says it started and then nothing is ended with the run's time", async () => {
    const error = await errorOf(attack("never-ends", { resources: { timeout: "150ms" } }));
    expect(error.code).toBe("ERR_LIMIT_TIMEOUT");
    const receipt = error.partial?.limits.find(({ limit }) => limit === "timeout");
    expect(receipt).toMatchObject({ enforcedBy: "SIGKILL", hit: "yes", applied: 150 });
  });

  it("that goes on after its report has reported, and is killed", async () => {
    const before = new Set(pids());
    expect((await attack("goes-on")).stdout).toBe("well");
    await until("it is killed", () => [...before].some((pid) => !pids().includes(pid)));
  });

  it("leaves the service no descriptor", async () => {
    await attack("honest");
    const before = readdirSync("/proc/self/fd").length;
    for (let i = 0; i < 3; i++) await codeOf(attack("junk"));
    await attack("honest");
    expect(readdirSync("/proc/self/fd").length).toBeLessThanOrEqual(before + 4);
  });
});
