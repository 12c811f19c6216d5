import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Limit, LimitReceipt, Result } from "../../src/index.ts";
import { cgroupsHere, codeOf, errorOf, layout, nodeScript, openBench, shell } from "./support.ts";

const { runtime } = openBench();
const has = (controller: "memory" | "pids" | "cpu"): boolean =>
  layout?.some(({ controllers }) => controllers.includes(controller)) === true;
const hasCpuTime = layout?.some((one) => one.hasCpuTime) === true;

function receipt(result: Pick<Result, "limits"> | undefined, limit: Limit): LimitReceipt | undefined {
  return result?.limits.find((one) => one.limit === limit);
}

describe("a timeout", () => {
  it("ends the run by SIGTERM first, and a tool that obeys is not waited for longer", async () => {
    const tool = await shell("trap 'exit 0' TERM; echo go; while :; do sleep 0.05; done");
    const before = performance.now();
    const error = await errorOf(runtime.execute({ tool, resources: { timeout: "300ms" } }));
    expect(performance.now() - before).toBeLessThan(4500);
    expect(error).toMatchObject({ code: "ERR_LIMIT_TIMEOUT", started: true, partial: { stdout: "go\n" } });
    expect(receipt(error.partial, "timeout")).toMatchObject({
      requested: 300,
      applied: 300,
      enforcedBy: "signal",
      source: "timer",
      hit: "yes",
    });
  });

  it("ends a tool that ignores SIGTERM by SIGKILL when the grace is over", async () => {
    const tool = await shell("trap '' TERM; while :; do sleep 0.05; done");
    const before = performance.now();
    expect(await codeOf(runtime.execute({ tool, resources: { timeout: "200ms" } }))).toBe("ERR_LIMIT_TIMEOUT");
    const tookMs = performance.now() - before;
    expect(tookMs).toBeGreaterThan(5000);
    expect(tookMs).toBeLessThan(7500);
  });
});

describe.skipIf(!has("memory"))("a memory limit", () => {
  const resources = { memory: "64Mi" };

  it("is read back from the cgroup", async () => {
    const result = await runtime.execute({ tool: await shell("head -c 20000000 /dev/zero | tail -c 1 | wc -c"), resources });
    const memory = receipt(result, "memory");
    expect(memory).toMatchObject({ requested: 64 * 2 ** 20, applied: 64 * 2 ** 20, enforcedBy: "cgroup", hit: "no" });
    expect(memory?.source).toMatch(/memory\.(limit_in_bytes|max)$/);
    expect(memory?.peak).toBeGreaterThan(100_000);
    expect(memory?.peak).toBeLessThan(64 * 2 ** 20);
  });

  it("that the main process is killed for is ERR_LIMIT_MEMORY, with what came before", async () => {
    const tool = await nodeScript("console.log('up');const a=[];for(;;)a.push(Buffer.alloc(1e6,1))");
    const error = await errorOf(runtime.execute({ tool, resources }));
    expect(error).toMatchObject({
      code: "ERR_LIMIT_MEMORY",
      details: { limit: "memory", value: 64 * 2 ** 20 },
      partial: { stdout: "up\n" },
    });
    expect(receipt(error.partial, "memory")).toMatchObject({ hit: "yes", applied: 64 * 2 ** 20 });
  });

  it("that a child is killed for is a result whose receipt says hit", async () => {
    const tool = await shell(`"$NODE" -e 'const a=[];for(;;)a.push(Buffer.alloc(1e6,1))' 2>/dev/null; echo "child: $?"`);
    const result = await runtime.execute({ tool, resources, env: { NODE: process.execPath } });
    expect(result.stdout).toBe("child: 137\n");
    expect(receipt(result, "memory")?.hit).toBe("yes");
  });

  it("is not blamed for a SIGKILL that the tool sent itself", async () => {
    expect((await runtime.execute({ tool: await shell("kill -KILL $$"), resources })).exitCode).toBe(137);
  });

  it("below what a launcher needs is refused", async () => {
    expect(await codeOf(runtime.execute({ tool: await shell(":"), resources: { memory: "64Ki" } }))).toBe("ERR_LIMIT_UNENFORCEABLE");
  });
});

describe.skipIf(!has("pids"))("a limit of processes", () => {
  it("is read back, and hit when a process more is started", async () => {
    const script = "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done 2>&1; wait; exit 0";
    const refused = await runtime.execute({ tool: await shell(script), resources: { processes: 4 } });
    expect(receipt(refused, "processes")).toMatchObject({ requested: 4, applied: 4, enforcedBy: "cgroup", hit: "yes" });
    expect(receipt(refused, "processes")?.peak ?? 4).toBe(4);
    const allowed = await runtime.execute({ tool: await shell(script), resources: { processes: 20 } });
    expect(receipt(allowed, "processes")).toMatchObject({ applied: 20, hit: "no" });
    expect(allowed.stdout).toBe("");
  });

  it("reads as it was set up even when the tree had to be killed", async () => {
    const error = await errorOf(
      runtime.execute({ tool: await shell("sleep 60 & sleep 60"), resources: { processes: 7, timeout: "200ms" } }),
    );
    expect(receipt(error.partial, "processes")).toMatchObject({ applied: 7 });
  });
});

describe.skipIf(!has("cpu"))("a limit of cores", () => {
  it("is read back, and keeps the tool from using more", async () => {
    const tool = await shell("i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done");
    const result = await runtime.execute({ tool, resources: { cpu: "0.2", cpuTime: "60s" } });
    expect(receipt(result, "cpu")).toMatchObject({ requested: 0.2, applied: 0.2, enforcedBy: "cgroup", hit: "yes" });
    const used = (receipt(result, "cpuTime")?.peak ?? Number.NaN) / result.duration;
    expect(used).toBeGreaterThan(0);
    // The first period may be used whole before the tool is throttled.
    expect(used).toBeLessThan(0.35);
  });
});

describe.skipIf(!hasCpuTime)("a limit of processor time", () => {
  it("counts all processes together and ends the run", async () => {
    const tool = await shell("for i in 1 2; do (while :; do :; done) & done; wait");
    const error = await errorOf(runtime.execute({ tool, resources: { cpuTime: "400ms", timeout: "20s", cpu: 2 } }));
    expect(error.code).toBe("ERR_LIMIT_CPU_TIME");
    const cpuTime = receipt(error.partial, "cpuTime");
    expect(cpuTime).toMatchObject({ requested: 400, applied: 400, enforcedBy: "cgroup", hit: "yes" });
    expect(cpuTime?.peak).toBeGreaterThanOrEqual(400);
  });

  it("is not spent by waiting", async () => {
    const result = await runtime.execute({ tool: await shell("sleep 0.6"), resources: { cpuTime: "400ms" } });
    expect(receipt(result, "cpuTime")).toMatchObject({ hit: "no", applied: 400 });
    expect(receipt(result, "cpuTime")?.peak).toBeLessThan(400);
  });
});

describe("what nothing enforces", () => {
  it("is refused where it was asked for, and said where it was not", async () => {
    const tool = await shell(":");
    expect(await codeOf(runtime.execute({ tool, resources: { disk: "1Mi" } }))).toBe("ERR_LIMIT_UNENFORCEABLE");
    const result = await runtime.execute({ tool, resources: { disk: "1Mi" }, bestEffort: ["disk"] });
    expect(receipt(result, "disk")).toMatchObject({ enforcedBy: "none", hit: "no" });
    expect(receipt(result, "disk")).not.toHaveProperty("applied");
  });
});

describe.skipIf(layout === undefined)("a cgroup", () => {
  it("has the tool in it before the tool's first instruction, with the limits set", async () => {
    const tool = await shell("cat /proc/self/cgroup");
    const { stdout } = await runtime.execute({ tool });
    const inside = stdout.split("\n").filter((line) => line.includes(`toolruntime-${process.pid}-`));
    expect(inside.length).toBeGreaterThanOrEqual(layout?.length ?? Number.POSITIVE_INFINITY);
  });

  it("is gone after the run", async () => {
    const result = await runtime.execute({ tool: await shell("sleep 60 & echo") });
    const sources = result.limits.flatMap(({ source }) => (source?.startsWith("/") === true ? source : []));
    expect(sources.length).toBeGreaterThan(0);
    expect(sources.filter((path) => existsSync(path))).toEqual([]);
    expect(cgroupsHere()).toEqual([]);
  });

  it("is gone even when the tool, as root, has made more below it", async () => {
    const script = `
      for line in $(cut -d: -f3 /proc/self/cgroup); do
        for root in /sys/fs/cgroup /sys/fs/cgroup/*; do
          case "$line" in *toolruntime-*) mkdir "$root$line/below" 2>/dev/null && { sleep 60 & echo $! >"$root$line/below/cgroup.procs"; } ;; esac
        done
      done
      echo done`;
    const { stdout } = await runtime.execute({ tool: await shell(script) });
    expect(stdout).toBe("done\n");
    expect(cgroupsHere()).toEqual([]);
  });
});
