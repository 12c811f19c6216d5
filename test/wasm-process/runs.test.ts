import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { defineTool, type Result, type Runtime, type Task } from "../../src/index.ts";
import { createRuntime } from "../../src/index.ts";
import { jcoTranspiler } from "../../src/wasm/component/jco/index.ts";
import type { ComponentTranspiler } from "../../src/wasm/component/transpiler.ts";
import { wasm } from "../../src/wasm/index.ts";
import { action, codeOf, errorOf, openBench, probe, probeBytes, toolFrom, toolOf, until } from "./support.ts";

const { runtime } = openBench({ maxChildren: 2, spares: 1 });
const inline: Runtime = createRuntime({ backend: wasm(), security: "standard" });

/** What a run comes to, wherever it was. */
function outcomeOf({ exit, exitCode, output, stdout, stderr, truncated, replaced, files }: Result): object {
  return { exit, exitCode, output, stdout, stderr, truncated, replaced, files };
}

describe("a run in a process", () => {
  it.each<[string, Omit<Task, "tool">]>([
    ["an echo", { input: { do: "echo", text: "häuser €" } }],
    ["an exit code", { input: { do: "exit", code: 7 } }],
    ["a trap", { input: { do: "trap" } }],
    [
      "both streams",
      {
        input: {
          do: "steps",
          steps: [
            { do: "write", text: "a" },
            { do: "write", to: "stderr", text: "b" },
          ],
        },
      },
    ],
    ["100 KB of output", { input: { do: "fill", bytes: 100_000, chunk: 70_000 } }],
    ["bytes that are no text", { input: { do: "write", hex: "ff00fe" } }],
    ["the environment", { input: { do: "env" }, env: { A: "1", B: "zwei" } }],
    ["an input file", { input: { do: "read", path: "in/a.txt" }, files: { "in/a.txt": "content" } }],
    ["two output files", { input: { do: "save", path: "out/x", text: "saved", bytes: 70_000, count: 2 } }],
    ["a sleep", { input: { do: "sleep", ms: 20 } }],
  ])("gives the same result as in the service itself: %s", async (_, task) => {
    const [there, here] = await Promise.all([runtime.execute({ tool: probe, ...task }), inline.execute({ tool: probe, ...task })]);
    expect(outcomeOf(there)).toEqual(outcomeOf(here));
    expect([there.backend.isolation, here.backend.isolation]).toEqual(["wasm-process", "wasm"]);
    expect(there.backend.profile).toBe("hardened");
  });

  it("gives the same errors: a module without an entry, another digest, too little memory", async () => {
    const tools = [await toolOf(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0))];
    const wrong = await defineTool(
      { ...probe.manifest, artifacts: { wasm: { digest: `sha256:${"0".repeat(64)}` } } },
      { wasm: async () => probeBytes },
    );
    for (const tool of [...tools, wrong]) {
      const [there, here] = [await errorOf(runtime.execute({ tool })), await errorOf(inline.execute({ tool }))];
      expect([there.code, there.message, there.started]).toEqual([here.code, here.message, here.started]);
    }
    const small = { ...action({ do: "echo" }), resources: { memory: "64Ki" } };
    expect(await codeOf(runtime.execute(small))).toBe(await codeOf(inline.execute(small)));
  });

  it("has receipts that name what enforces each limit", async () => {
    const { limits } = await runtime.execute({ ...action({ do: "spin", ms: 60 }), resources: { cpuTime: "5s" } });
    const byName = new Map(limits.map((receipt) => [receipt.limit, receipt]));
    expect(byName.get("timeout")).toMatchObject({ requested: 5000, applied: 5000, hit: "no" });
    expect(byName.get("memory")).toMatchObject({ applied: 64 * 2 ** 20, source: "WebAssembly.Memory.grow" });
    expect(byName.get("cpuTime")).toMatchObject({ applied: 5000, hit: "no" });
    const used = byName.get("cpuTime")?.peak ?? 0;
    // On a busy machine a guest gets less of the processor than it spins.
    expect(used).toBeGreaterThan(1);
    expect(used).toBeLessThan(1000);
    expect(byName.get("output")).toMatchObject({ enforcedBy: "runtime" });
  });

  it("stops the guest while the reader of its output is busy", async () => {
    let seen = 0;
    let atPause = 0;
    const onEvent = async ({ type, ...event }: { type: string; bytes?: Uint8Array }): Promise<void> => {
      if (type !== "stdout") return;
      seen += event.bytes?.length ?? 0;
      if (atPause > 0) return;
      atPause = seen;
      await new Promise((resolve) => setTimeout(resolve, 300));
    };
    const { stderr } = await runtime.execute(
      { ...action({ do: "fill", bytes: 200_000, chunk: 1000, report: 150 }), resources: { output: "256Ki" } },
      { onEvent },
    );
    const { before, stallMs }: { before: number; stallMs: number } = JSON.parse(stderr);
    expect(stallMs).toBeGreaterThanOrEqual(150);
    // The window, what goes with one ack, and one write.
    expect(before).toBeLessThanOrEqual(64 * 1024 + 32 * 1024);
    expect(seen).toBe(200_000);
  });
});

describe("a child", () => {
  it("serves its tool again, and no other", async () => {
    const { runtime, pids } = openBench({ maxChildren: 2 });
    await runtime.execute(action({ do: "echo" }));
    await until("the spare is there", () => pids().length === 2);
    const before = pids();
    await runtime.execute(action({ do: "echo" }));
    expect(pids()).toEqual(before);
    await runtime.execute({ tool: await toolFrom("leftovers") });
    await until("there are two with a tool and a spare", () => pids().length === 3);
    expect(pids()).toEqual(expect.arrayContaining(before));
    // A third tool has the place of the one that has waited longest.
    await runtime.execute({ tool: await toolFrom("hard-links") });
    await until("there are two with a tool and a spare", () => pids().length === 3);
    expect(pids().filter((pid) => before.includes(pid))).toHaveLength(1);
  });

  it("is replaced after a trap, and after so many runs", async () => {
    const { runtime, pids } = openBench({ maxChildren: 1, maxRuns: 3, spares: 0 });
    const seen: string[] = [];
    for (const one of ["echo", "trap", "echo", "echo", "echo", "echo"] as const) {
      await runtime.execute(action({ do: one }));
      seen.push(`${one}: ${pids().length}`);
    }
    expect(seen).toEqual(["echo: 1", "trap: 0", "echo: 1", "echo: 1", "echo: 0", "echo: 1"]);
  });

  it("finds nothing of an earlier run of its tool", async () => {
    const secret = "5ec2e7c0de";
    await runtime.execute(action({ do: "litter", hex: secret }));
    const { stdout } = await runtime.execute(action({ do: "scan", hex: secret }));
    expect(JSON.parse(stdout)).toMatchObject({ found: 0 });
  });
});

describe("a component", () => {
  const bytes = readFileSync(new URL("../wasm-component/guests/text.wasm", import.meta.url));

  it("is refused where no transpiler is configured", async () => {
    expect(await codeOf(runtime.execute({ tool: await toolOf(bytes, "component") }))).toBe(
      await codeOf(inline.execute({ tool: await toolOf(bytes, "component") })),
    );
  });

  it("runs where one is", async () => {
    const { runtime: own } = openBench({ components: jcoTranspiler(), spares: 0 });
    const { stdout } = await own.execute({ tool: await toolOf(bytes, "component"), input: { text: "abc" } });
    expect(stdout).toBe('{"TEXT":"ABC"}');
  });
});

describe("an artifact", () => {
  it("is made once in the service, whatever the number of processes that get it", async () => {
    const own = jcoTranspiler();
    let transpiled = 0;
    const components: ComponentTranspiler = {
      transpile: (request) => {
        transpiled++;
        return own.transpile(request);
      },
    };
    const bytes = readFileSync(new URL("../wasm-component/guests/text.wasm", import.meta.url));
    const { runtime: counted, pids } = openBench({ components, maxChildren: 3, spares: 0, maxRuns: 1 });
    const tool = await toolOf(bytes, "component");
    const seen = new Set<number>();
    for (let count = 0; count < 3; count++) {
      const running = counted.execute({ tool, input: { text: "abc" } });
      await until("a process runs it", () => pids().length > 0);
      for (const pid of pids()) seen.add(pid);
      expect((await running).stdout).toBe('{"TEXT":"ABC"}');
    }
    expect(seen.size).toBeGreaterThanOrEqual(3);
    expect(transpiled).toBe(1);
  });

  it("that is refused takes no process", async () => {
    const { runtime: own, pids } = openBench({ maxChildren: 1, spares: 1 });
    await own.execute(action({ do: "echo", text: "first" }));
    const before = pids();
    for (let count = 0; count < 5; count++) {
      expect(await codeOf(own.execute({ tool: await toolOf(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)) }))).toBe(
        "ERR_ARTIFACT_INVALID",
      );
    }
    expect(pids()).toEqual(before);
  });
});
