import { describe, expect, it } from "vitest";
import { createRuntime } from "../../src/index.ts";
import { awaitSleepers, codeOf, commandTool, layout, openBench, processesWith, shell, type Bench } from "./support.ts";

/** No other process on the machine sleeps for exactly so long. */
let nextSeconds = 1_000_000 + (process.pid % 1000) * 100;
const uniqueSeconds = (): string => String(nextSeconds++);

/** What a daemon does: starts a session, forks twice, lets go of the pipes, and ignores SIGTERM where `first` says so. */
function daemon(seconds: string, first = ""): string {
  return `setsid sh -c '${first} (sleep ${seconds} </dev/null >/dev/null 2>&1 &) ; (setsid sleep ${seconds} &)' &`;
}

const benches: [string, Bench][] = [["process group", openBench({ processTree: "group" })]];
if (layout !== undefined) benches.unshift(["cgroup", openBench()]);

describe.each(benches)("a tree kept by %s", (_name, bench) => {
  const { runtime } = bench;
  it("is ended whole at a timeout: daemons, double forks and new sessions", async () => {
    const seconds = uniqueSeconds();
    const running = codeOf(
      runtime.execute({ tool: await shell(`${daemon(seconds, 'trap "" TERM;')} sleep ${seconds}`), resources: { timeout: "1s" } }),
    );
    await awaitSleepers(seconds, 3);
    expect(await running).toBe("ERR_LIMIT_TIMEOUT");
    expect(processesWith(`sleep ${seconds}`)).toEqual([]);
  });

  it("is ended whole when the main process has ended by itself", async () => {
    const seconds = uniqueSeconds();
    const result = await runtime.execute({ tool: await shell(`${daemon(seconds)} sleep ${seconds} & sleep 0.3; echo done`) });
    expect(result.stdout).toBe("done\n");
    expect(processesWith(`sleep ${seconds}`)).toEqual([]);
    expect(result.duration).toBeLessThan(4000);
  });

  it("is ended whole when the caller gives up", async () => {
    const seconds = uniqueSeconds();
    const controller = new AbortController();
    const running = codeOf(
      runtime.execute({ tool: await shell(`${daemon(seconds)} exec sleep ${seconds}`) }, { signal: controller.signal }),
    );
    await awaitSleepers(seconds, 3);
    controller.abort();
    expect(await running).toBe("ERR_ABORTED");
    expect(processesWith(`sleep ${seconds}`)).toEqual([]);
  });

  it("is ended whole when the runtime is closed", async () => {
    const seconds = uniqueSeconds();
    const own = createRuntime({ backend: bench.backend, security: "dev" });
    const running = codeOf(own.execute({ tool: await commandTool(["sleep", seconds]) }));
    await awaitSleepers(seconds, 1);
    await own.close();
    expect(await running).toBe("ERR_CLOSED");
    expect(processesWith(`sleep ${seconds}`)).toEqual([]);
  });

  it("lets a call that is aborted at any moment of the start leave nothing", async () => {
    const seconds = uniqueSeconds();
    const tool = await commandTool(["sleep", seconds]);
    for (let ms = 0; ms < 24; ms++) {
      const code = await codeOf(runtime.execute({ tool }, { signal: AbortSignal.timeout(ms) }));
      expect(code).toBe("ERR_ABORTED");
      expect(processesWith(`sleep ${seconds}`)).toEqual([]);
    }
  });

  it("is not mixed up with another run's", async () => {
    const seconds = uniqueSeconds();
    const controller = new AbortController();
    const long = codeOf(runtime.execute({ tool: await commandTool(["sleep", seconds]) }, { signal: controller.signal }));
    await awaitSleepers(seconds, 1);
    await runtime.execute({ tool: await shell("sleep 0.2 &") });
    expect(processesWith(`sleep ${seconds}`)).toHaveLength(1);
    controller.abort();
    await long;
  });
});

describe.skipIf(layout === undefined)("a process in a cgroup", () => {
  const { runtime } = openBench();

  it("cannot hide by clearing its environment, leaving the folder and starting a session", async () => {
    const seconds = uniqueSeconds();
    const tool = await shell(`cd /; setsid env -i sleep ${seconds} </dev/null >/dev/null 2>&1 & sleep 0.3`);
    await runtime.execute({ tool });
    expect(processesWith(`sleep ${seconds}`)).toEqual([]);
  });
});
