import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { unsafe } from "../../src/backends/unsafe/index.ts";
import { currentOwner, formatOwner, isGone, parseOwner } from "../../src/internal/node/process-owner.ts";
import { awaitSleepers, layout, openBench, processesWith, shell } from "./support.ts";

const root = join(import.meta.dirname, "../..");

/** A service that runs one tool and is killed while it does. */
function serviceScript(scratch: string, processTree: string, seconds: string): string {
  return `
    import { createRuntime, defineTool } from "${root}/src/index.ts";
    import { unsafe } from "${root}/src/backends/unsafe/index.ts";
    const backend = unsafe({ acceptUnsafe: true, warn: () => {}, scratch: "${scratch}", processTree: "${processTree}" });
    const runtime = createRuntime({ backend, security: "dev" });
    const argv = ["/bin/sh", "-c", "setsid sleep ${seconds} & sleep ${seconds}"];
    const tool = await defineTool({ name: "t", version: "1.0.0", description: "t", inputSchema: true, artifacts: { command: { argv } } });
    await runtime.execute({ tool });
  `;
}

async function killedService(scratch: string, processTree: string, seconds: string): Promise<void> {
  const service = spawn(process.execPath, ["--input-type=module-typescript", "-e", serviceScript(scratch, processTree, seconds)], {
    stdio: "ignore",
  });
  await awaitSleepers(seconds, 2);
  service.kill("SIGKILL");
  await once(service, "exit");
}

function cgroupsOf(owner: string): string[] {
  return (layout ?? []).flatMap(({ parent }) => readdirSync(parent).filter((name) => name.includes(owner)));
}

describe("reap", () => {
  let scratch = "";
  beforeEach(() => {
    scratch = mkdtempSync(join(tmpdir(), "toolruntime-reap-"));
  });
  afterEach(() => rmSync(scratch, { recursive: true, force: true }));

  it.each(layout === undefined ? ["group"] : ["auto", "group"])(
    "finds and ends what a killed service has left (%s)",
    async (processTree) => {
      const seconds = String(2_000_000 + process.pid);
      await killedService(scratch, processTree, seconds);
      const [owner = "none"] = readdirSync(scratch);
      expect(processesWith(`sleep ${seconds}`).length).toBeGreaterThanOrEqual(2);
      expect(cgroupsOf(owner).length).toBe(processTree === "auto" ? layout?.length : 0);

      const backend = unsafe({ acceptUnsafe: true, warn: () => undefined, scratch });
      const { removed } = await backend.reap();
      // A service that another test starts meanwhile finds the cgroups and processes too; the folder only this one.
      expect(removed).toContain(`folder ${join(scratch, owner)}`);
      expect(processesWith(`sleep ${seconds}`)).toEqual([]);
      expect(cgroupsOf(owner)).toEqual([]);
      expect(readdirSync(scratch)).toEqual([]);
      expect((await backend.reap()).removed.filter((one) => one.includes(owner))).toEqual([]);
      await backend.close();
    },
  );

  it.skipIf(layout === undefined)("finds the cgroups even where the folder is lost", async () => {
    const seconds = String(2_100_000 + process.pid);
    await killedService(scratch, "auto", seconds);
    const [owner = "none"] = readdirSync(scratch);
    rmSync(join(scratch, owner), { recursive: true });
    const backend = unsafe({ acceptUnsafe: true, warn: () => undefined, scratch });
    await backend.reap();
    expect(processesWith(`sleep ${seconds}`)).toEqual([]);
    expect(cgroupsOf(owner)).toEqual([]);
    await backend.close();
  });

  it("leaves alone what a living service has running", async () => {
    const { backend, runtime } = openBench({ scratch });
    const running = runtime.execute({ tool: await shell("sleep 0.5; echo alive") });
    await sleep(150);
    const other = unsafe({ acceptUnsafe: true, warn: () => undefined, scratch });
    expect((await other.reap()).removed.filter((one) => one.includes(`-${process.pid}-`) || one.includes(scratch))).toEqual([]);
    expect((await running).stdout).toBe("alive\n");
    await other.close();
    await runtime.close();
    await backend.close();
  });

  it("leaves alone what it did not name", async () => {
    mkdirSync(join(scratch, "mine"));
    mkdirSync(join(scratch, "1-2-3"));
    const backend = unsafe({ acceptUnsafe: true, warn: () => undefined, scratch });
    expect((await backend.reap()).removed.filter((one) => one.includes(scratch))).toEqual([]);
    expect(existsSync(join(scratch, "mine"))).toBe(true);
    await backend.close();
  });
});

describe("the owner of a folder", () => {
  it("is read back from its name", () => {
    const owner = currentOwner();
    expect(parseOwner(`${formatOwner(owner)}-0badcafe`)).toEqual(owner);
    for (const odd of ["", "x", "1-2-3", "1-2-3-4", "-1-2-3-01234567", "1-2-3-0123456z"]) expect(parseOwner(odd)).toBeUndefined();
  });

  it("is gone when the pid belongs to a later process, or the machine was started again", () => {
    const owner = currentOwner();
    expect(isGone(owner)).toBe(false);
    expect(isGone({ ...owner, startTicks: String(Number(owner.startTicks) - 1) })).toBe(true);
    expect(isGone({ ...owner, boot: owner.boot === "00000000" ? "11111111" : "00000000" })).toBe(true);
    expect(isGone({ ...owner, pid: 4_194_303 })).toBe(true);
  });

  it("cannot be judged from another PID namespace and counts as alive", () => {
    expect(isGone({ ...currentOwner(), pid: 4_194_303, namespace: "1" })).toBe(false);
  });
});
