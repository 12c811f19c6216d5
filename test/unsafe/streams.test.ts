import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { codeOf, commandTool, errorOf, nodeScript, openBench, openFds, shell } from "./support.ts";

const { runtime } = openBench();

describe("stdin, stdout and stderr", () => {
  it("are kept apart and whole", async () => {
    const { stdout, stderr, exitCode } = await runtime.execute({ tool: await shell("cat; echo err >&2; exit 3"), input: { a: ["ü"] } });
    expect([stdout, stderr, exitCode]).toEqual(['{"a":["ü"]}', "err\n", 3]);
  });

  it("are pipes that can be opened by name", async () => {
    const { stdout, stderr } = await runtime.execute({ tool: await shell("cat /dev/stdin >/dev/stdout; echo err >/dev/stderr") });
    expect([stdout, stderr]).toEqual(["{}", "err\n"]);
  });

  it("carry many megabytes both ways", async () => {
    const input = "x".repeat(5_000_000);
    const { stdout } = await runtime.execute({
      tool: await shell("wc -c; head -c 6000000 /dev/zero | tr '\\0' y | tee out/y | wc -c"),
      input,
    });
    expect(stdout.split("\n").map(Number)).toEqual([5_000_002, 6_000_000, 0]);
  });

  it("may go unread: a tool that ends without its input has ended well", async () => {
    const { exitCode } = await runtime.execute({ tool: await shell("exec <&-; exit 0"), input: "x".repeat(1_000_000) });
    expect(exitCode).toBe(0);
  });

  it("are read no faster than the listener takes them", async () => {
    let taken = 0;
    let isBlocked = true;
    let release: () => void = () => undefined;
    const blocked = new Promise<void>((resolve) => (release = resolve));
    const running = runtime.execute(
      {
        tool: await nodeScript(
          "const b=Buffer.alloc(65536,97);for(let i=0;i<32;i++){require('fs').writeSync(1,b);require('fs').writeFileSync('out/n',String(i))}",
        ),
      },
      {
        onEvent: async (event) => {
          if (event.type !== "stdout") return;
          taken += event.bytes.length;
          if (isBlocked) await blocked;
        },
      },
    );
    await sleep(700);
    // One chunk is with the listener, one may be read ahead, and one pipe (64 KiB) is full behind them.
    expect(taken).toBeLessThanOrEqual(2 * 65_536);
    isBlocked = false;
    release();
    expect((await running).stdout.length).toBeGreaterThan(0);
    expect(taken).toBe(32 * 65_536);
  });

  it("do not hang on a listener that never answers, once the run is ended", async () => {
    const never = new Promise<void>(() => undefined);
    const tool = await shell("yes");
    const code = await codeOf(
      runtime.execute({ tool, resources: { timeout: "300ms" } }, { onEvent: ({ type }) => (type === "stdout" ? never : undefined) }),
    );
    expect(code).toBe("ERR_LIMIT_TIMEOUT");
  });

  it("are read to their end when a tool has been silent for long and ends with its last word", async () => {
    const tool = await shell("sleep 0.5; printf last; printf word >&2");
    const runs = await Promise.all(Array.from({ length: 25 }, () => runtime.execute({ tool })));
    expect(runs.map(({ stdout, stderr }) => stdout + stderr)).toEqual(runs.map(() => "lastword"));
  });

  it("end the run at the output limit, and what came first is kept", async () => {
    const error = await errorOf(runtime.execute({ tool: await shell("echo first; exec yes"), resources: { output: "100Ki" } }));
    expect(error.code).toBe("ERR_LIMIT_OUTPUT");
    expect(error.partial?.stdout.startsWith("first\ny\n")).toBe(true);
    expect(error.partial?.limits.find(({ limit }) => limit === "output")).toMatchObject({ applied: 102_400, hit: "yes" });
  });
});

describe("how a run ends", () => {
  it("is a result for exit codes and signals alike", async () => {
    expect((await runtime.execute({ tool: await shell("exit 137") })).exit).toEqual({ kind: "exited", code: 137 });
    const killed = await runtime.execute({ tool: await shell("kill -KILL $$") });
    expect(killed.exit).toEqual({ kind: "signalled", signal: "SIGKILL", number: 9 });
    expect(killed.exitCode).toBe(137);
    expect((await runtime.execute({ tool: await shell("kill -SEGV $$") })).exit).toMatchObject({ kind: "signalled", signal: "SIGSEGV" });
  });

  it("leaves no open descriptor in this process", async () => {
    const tool = await commandTool(["cat"]);
    for (let count = 0; count < 5; count++) await runtime.execute({ tool });
    const before = openFds();
    await Promise.all(Array.from({ length: 30 }, () => runtime.execute({ tool })));
    await sleep(100);
    expect(openFds()).toBeLessThanOrEqual(before + 1);
  });
});
