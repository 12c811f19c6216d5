import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { action, codeOf, errorOf, openBench, signal, toolFrom, until } from "./support.ts";

const loop = await toolFrom("loop");

describe("the children of a driver", () => {
  it("serve fifty runs at once with two of them", async () => {
    const { runtime, pids } = openBench({ maxChildren: 2, spares: 1 });
    let most = 0;
    const watching = setInterval(() => (most = Math.max(most, pids().length)), 10);
    const results = await Promise.all(Array.from({ length: 50 }, (_, index) => runtime.execute(action({ do: "echo", text: `n${index}` }))));
    clearInterval(watching);
    expect(results.map(({ output }) => output)).toEqual(results.map((_, index) => JSON.stringify({ do: "echo", text: `n${index}` })));
    expect(most).toBeLessThanOrEqual(3);
  });

  it("are had by several tools in turn, none of which waits for ever", async () => {
    const { runtime } = openBench({ maxChildren: 1, spares: 0 });
    const other = await toolFrom("leftovers");
    const loops = [1, 2].map(() => codeOf(runtime.execute({ tool: loop, resources: { timeout: "50ms" } })));
    const others = [1, 2].map(() => runtime.execute({ tool: other }));
    expect(await Promise.all(loops)).toEqual(["ERR_LIMIT_TIMEOUT", "ERR_LIMIT_TIMEOUT"]);
    expect(await Promise.all(others)).toHaveLength(2);
  });

  it("have a queue that a run can leave, with an end in number and in time", async () => {
    const { runtime } = openBench({ maxChildren: 1, spares: 0, maxQueue: 2, maxWaitMs: 400 });
    await runtime.execute(action({ do: "echo" }));
    const first = runtime.execute(action({ do: "sleep", ms: 200 }));
    await sleep(30);
    const abort = new AbortController();
    const left = codeOf(runtime.execute(action({ do: "echo" }), { signal: abort.signal }));
    const next = runtime.execute(action({ do: "sleep", ms: 700 }));
    const refused = await errorOf(runtime.execute(action({ do: "echo" })));
    expect([refused.code, refused.retryable]).toEqual(["ERR_QUEUE_FULL", true]);
    const begun = performance.now();
    abort.abort();
    expect(await left).toBe("ERR_ABORTED");
    expect(performance.now() - begun).toBeLessThan(100);
    expect((await first).exitCode).toBe(0);
    // It waits from here on for the one of 700 ms.
    expect(await codeOf(runtime.execute(action({ do: "echo" })))).toBe("ERR_QUEUE_FULL");
    expect((await next).exitCode).toBe(0);
  });

  it("have a spare that takes the place of one that is taken, or killed", async () => {
    const { driver, runtime, pids } = openBench({ maxChildren: 1, spares: 1 });
    await driver.probe();
    expect(pids()).toHaveLength(1);
    const [spare = 0] = pids();
    await runtime.execute(action({ do: "echo" }));
    // One look: while it starts, a process becomes one program after the other, and is not seen in between.
    let both: readonly number[] = [];
    await until("there is another spare", () => (both = pids()).length === 2);
    expect(both).toContain(spare);
    const other = both.find((pid) => pid !== spare) ?? 0;
    signal(other, "SIGKILL");
    await until("it is replaced", () => pids().length === 2 && !pids().includes(other));
  });

  it("are let go when nobody has used them for a while", async () => {
    const { runtime, pids } = openBench({ maxChildren: 1, spares: 0, idleMs: 100 });
    await runtime.execute(action({ do: "echo" }));
    expect(pids()).toHaveLength(1);
    await until("it is gone", () => pids().length === 0);
    expect((await runtime.execute(action({ do: "echo" }))).exitCode).toBe(0);
  });

  it("have room for a guest with more memory than a spare's", async () => {
    const { runtime } = openBench({ spareMemoryBytes: 64 * 2 ** 20, spares: 0 });
    const { exitCode } = await runtime.execute({ tool: await toolFrom("grow-memory"), resources: { memory: "80Mi" } });
    expect(exitCode).toBe(80 * 16);
  });
});
