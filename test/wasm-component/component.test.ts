import { describe, expect, test } from "vitest";
import { makeRandom } from "../../src/wasm/component/host/process.ts";
import { RunState } from "../../src/wasm/component/host/run-state.ts";
import { FileSystem } from "../../src/wasm/wasi/index.ts";
import { surroundingsOf } from "../../src/wasm/surroundings.ts";
import { endedByHost, MiB, ready, runOf, runOnce, type RunOptions } from "./support.ts";

const exited = (code: number): object => ({ kind: "exited", code });
const limitOf = (limit: string): object => expect.objectContaining({ limit });

describe("a component with run: func(input: string) -> result<string, string>", () => {
  test.each(["", "a", '{"text":"häuser €"}', "x".repeat(100_000)])("gets its input and gives its output: %#", async (input) => {
    const { outcome, stdout, stderr } = await runOnce(await ready("text"), { input });
    expect(outcome.exit).toEqual(exited(0));
    expect(stdout).toBe(input.replace(/[a-z]/g, (letter) => letter.toUpperCase()));
    expect(stderr).toBe("");
    expect(outcome.readings).toEqual(["memory", "disk", "processes", "cpu"].map(limitOf));
  });

  test("that answers with an error ends with exit code 1 and says why on stderr", async () => {
    const { outcome, stdout, stderr } = await runOnce(await ready("text"), { input: "error: no such thing" });
    expect(outcome.exit).toEqual(exited(1));
    expect(stdout).toBe("");
    expect(stderr).toBe("ERROR: NO SUCH THING\n");
  });

  test.each([
    ["trap", "unreachable"],
    ["deep", expect.any(String)],
    ["outside", expect.stringContaining("component: ")],
    ["variant", expect.stringContaining("component: ")],
  ])("traps by %s, and the next call finds nothing of it", async (input, trap) => {
    const artifact = await ready("text");
    expect((await runOnce(artifact, { input })).outcome.exit).toEqual({ kind: "trapped", trap });
    expect((await runOnce(artifact, { input: "calls" })).stdout).toBe("1");
  });

  test("is a fresh instance for each call, fifty at once", async () => {
    const artifact = await ready("text");
    const runs = await Promise.all(
      Array.from({ length: 50 }, (_, index) => runOnce(artifact, { input: index % 2 === 0 ? "calls" : `n${index}`, inlineMs: 5000 })),
    );
    for (const [index, { stdout }] of runs.entries()) expect(stdout).toBe(index % 2 === 0 ? "1" : `N${index}`);
  });

  test("in JavaScript", async () => {
    const artifact = await ready("script");
    const first = await runOnce(artifact, { input: '{"text":"abc"}' });
    const second = await runOnce(artifact, { input: '{"text":"abc"}' });
    expect(first.outcome.exit).toEqual(exited(0));
    const [one, other] = [JSON.parse(first.stdout), JSON.parse(second.stdout)];
    expect(one).toMatchObject({ text: "ABC" });
    expect(Math.abs(one.now - Date.now())).toBeLessThan(60_000);
    // Known and documented: the generator's state is in the snapshot, so every instance of a JavaScript component draws the same.
    expect(other.random).toBe(one.random);
    expect(await runOnce(artifact, { input: '{"fail":"refused"}' })).toMatchObject({ outcome: { exit: exited(1) }, stderr: "refused\n" });
  });
});

describe("memory", () => {
  test.each([1, 4, 16])("a component that grows until it fails stays inside %i MiB", async (mib) => {
    const { outcome, stdout } = await runOnce(await ready("text"), { input: "grow", memoryBytes: mib * MiB });
    expect(Number(stdout) * 65_536).toBe(mib * MiB);
    expect(outcome.readings[0]).toMatchObject({ limit: "memory", applied: mib * MiB, peak: mib * MiB, hit: "yes" });
  });

  test("two memories share the limit", async () => {
    const { outcome, stdout } = await runOnce(await ready("two-memories"), { memoryBytes: 4 * MiB });
    expect(Number(stdout) * 65_536).toBe(4 * MiB);
    expect(outcome.readings[0]).toMatchObject({ applied: 4 * MiB, peak: 4 * MiB });
  });

  test("a module with a memory is not instantiated twice", async () => {
    const { outcome } = await runOnce(await ready("memory-twice"));
    expect(outcome.exit).toEqual({ kind: "trapped", trap: expect.stringContaining("twice") });
  });

  test("a component that begins with more than its limit does not start", async () => {
    await expect(runOnce(await ready("command"), { memoryBytes: 65_536 })).rejects.toMatchObject({ code: "ERR_LIMIT_MEMORY" });
    await expect(runOnce(await ready("script"), { memoryBytes: MiB })).rejects.toMatchObject({ code: "ERR_LIMIT_MEMORY" });
  });
});

describe("a command", () => {
  test("has its name, its variables and its streams, and nothing of the service's", async () => {
    process.env["SECRET_OF_THE_SERVICE"] = "secret";
    const { outcome, stdout, stderr } = await runOnce(await ready("command"), { input: "host", env: { NAME: "value", OTHER: "ä" } });
    expect(outcome.exit).toEqual(exited(0));
    expect(stdout).toBe("1 command NAME=value OTHER=ä");
    expect(stderr).toBe("logged\n");
  });

  test.each([
    ["exit 0", 0],
    ["exit 1", 1],
    // WASI 0.2 knows success and failure; the number gets lost in the adapter.
    ["exit 7", 1],
    ["return 7", 1],
  ])("%s ends with exit code %i", async (input, code) => {
    expect((await runOnce(await ready("command"), { input })).outcome.exit).toEqual(exited(code));
  });

  test("that aborts is a trap", async () => {
    expect((await runOnce(await ready("command"), { input: "abort" })).outcome.exit).toEqual({ kind: "trapped", trap: "unreachable" });
  });

  test("finds its files read-only, writes to out, and has no way to the host's", async () => {
    const files = [{ path: "data/in.txt", bytes: new TextEncoder().encode("content") }];
    const { outcome, stdout } = await runOnce(await ready("command"), { input: "files", files });
    expect(stdout.split("\n")).toEqual([
      "read: content",
      "data/in.txt w: Operation not permitted",
      "data/in.txt r+: Operation not permitted",
      "new.txt w: Operation not permitted",
      "/etc/passwd r: No such file or directory",
      "../etc/passwd r: Operation not permitted",
      "out/../../etc/passwd r: Operation not permitted",
      "out/__proto__ w: open",
      "out/constructor r: No such file or directory",
      "mkdir out/a: done",
      "symlink: done",
      "out/a/escape/passwd r: No such file or directory",
      "absolute symlink: Operation not permitted",
      "rename: done",
      "unlink input: Operation not permitted",
      "rmdir not empty: Directory not empty",
      "stat: done",
      "size: 8",
      // ".", "..", the link and the file
      "entries: 4",
      "",
    ]);
    expect(outcome.files.map(({ path, bytes }) => [path, new TextDecoder().decode(bytes)])).toEqual([
      ["__proto__", ""],
      ["a/moved.txt", "content+"],
    ]);
    expect(new TextDecoder().decode(files[0]?.bytes)).toBe("content");
    expect(({} as Record<string, unknown>)["source"]).toBeUndefined();
  });

  test("fills its disk up to the limit", async () => {
    const { outcome, stdout } = await runOnce(await ready("command"), { input: "fill", diskBytes: MiB });
    expect(stdout).toBe("No space left on device\n");
    expect(outcome.files[0]?.bytes.length).toBeLessThanOrEqual(MiB);
    expect(outcome.readings[1]).toMatchObject({ limit: "disk", applied: MiB, peak: outcome.files[0]?.bytes.length });
  });

  test("sleeps while the event loop goes on", async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    const { stdout } = await runOnce(await ready("command"), { input: "sleep 150" });
    clearInterval(timer);
    expect(Number(stdout)).toBeGreaterThanOrEqual(149);
    expect(ticks).toBeGreaterThan(5);
  });

  test.each([0, 1, 5, 20, 50])("that sleeps is ended by the signal after %i ms", async (ms) => {
    const artifact = await ready("command");
    // A first run is slower than the signal; the next one is asleep when it comes.
    await runOnce(artifact, { input: "host" });
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error("enough")), ms);
    const before = performance.now();
    // Before it has started there is no exit.
    const exit = await runOnce(artifact, { input: "sleep 100000", signal: abort.signal }).then(
      ({ outcome }) => outcome.exit,
      (error: unknown) => error,
    );
    expect([endedByHost, new Error("enough")]).toContainEqual(exit);
    expect(performance.now() - before).toBeLessThan(2000);
  });

  test("whose reader fails late is ended by that", async () => {
    const refuse = (): Promise<void> => new Promise((_, reject) => setTimeout(() => reject(new Error("reader gone")), 5));
    await expect(runOnce(await ready("command"), { input: "flood", onStdout: refuse })).rejects.toThrow("reader gone");
  });

  test("that writes without end is ended by the signal", async () => {
    const artifact = await ready("command");
    const abort = new AbortController();
    const onStdout = (): void => {
      if (!abort.signal.aborted) setTimeout(() => abort.abort(new Error("enough")), 20);
    };
    expect((await runOnce(artifact, { input: "flood", signal: abort.signal, onStdout })).outcome.exit).toEqual(endedByHost);
  });

  test("waits for whoever reads its output", async () => {
    let isWriting = false;
    let writes = 0;
    const abort = new AbortController();
    const run = runOnce(await ready("command"), {
      input: "flood",
      signal: abort.signal,
      async onStdout() {
        expect(isWriting).toBe(false);
        isWriting = true;
        await new Promise((resolve) => setTimeout(resolve, 1));
        isWriting = false;
        if (++writes === 20) abort.abort(new Error("enough"));
      },
    });
    expect((await run).outcome.exit).toEqual(endedByHost);
    expect(writes).toBe(20);
  });

  test("is ended by whoever refuses its output", async () => {
    const refuse = (): never => {
      throw new Error("output limit");
    };
    await expect(runOnce(await ready("command"), { input: "flood", onStdout: refuse })).rejects.toThrow("output limit");
  });

  test("draws other random numbers in each run", async () => {
    const artifact = await ready("command");
    const drawn = await Promise.all([1, 2, 3].map(async () => (await runOnce(artifact, { input: "random" })).stdout));
    expect(new Set(drawn).size).toBe(3);
  });

  test("fifty at once keep apart", async () => {
    const artifact = await ready("command");
    const runs = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        // Not what is asked here, and short where fifty begin at once on a busy machine.
        runOnce(artifact, { input: index % 2 === 0 ? "sleep 20" : "host", env: { INDEX: String(index) }, inlineMs: 5000 }),
      ),
    );
    for (const [index, { outcome, stdout }] of runs.entries()) {
      expect(outcome.exit).toEqual(exited(0));
      expect(stdout).toMatch(index % 2 === 1 ? new RegExp(`^1 command INDEX=${index}$`) : /^\d+\n$/);
    }
  });
});

describe("a deterministic component", () => {
  const plan = { profile: "standard", deterministic: { seed: "1", nowMs: 0 } } as const;
  const fixed = async (seed: string): Promise<RunOptions> => ({
    surroundings: await surroundingsOf({ ...plan, deterministic: { seed, nowMs: 1_769_860_800_000 } }),
  });

  test.each(["random", "files", "host", "sleep 60000"])("that does %s does the same again, with the same fuel, at once", async (input) => {
    const artifact = await ready("command");
    const files = [{ path: "data/in.txt", bytes: new TextEncoder().encode("content") }];
    const before = performance.now();
    const runs = [
      await runOnce(artifact, { input, files, ...(await fixed("1")) }),
      await runOnce(artifact, { input, files, ...(await fixed("1")) }),
    ];
    expect(performance.now() - before).toBeLessThan(5000);
    const [first, second] = runs.map(({ stdout, stderr, slices }) => [stdout, stderr, slices.meter.used]);
    expect(second).toEqual(first);
    expect(runs[0]?.outcome.exit).toEqual(exited(0));
  });

  test("draws other random numbers from another seed", async () => {
    const artifact = await ready("command");
    const drawn = async (seed: string): Promise<string> => (await runOnce(artifact, { input: "random", ...(await fixed(seed)) })).stdout;
    const one = await drawn("1");
    expect(await drawn("1")).toBe(one);
    expect(await drawn("2")).not.toBe(one);
  });
});

describe("wasi:random", () => {
  function randomOf(): { seed: () => unknown; bytes: (length: bigint) => Uint8Array } {
    const io = {
      id: "",
      stdin: new Uint8Array(0),
      files: [],
      env: {},
      maxOutputFiles: 0,
      stdout() {},
      stderr() {},
      started() {},
      signal: new AbortController().signal,
    };
    const functions: Record<string, Record<string, unknown>> = {
      ...makeRandom(new RunState(runOf(io), new FileSystem())),
    } as never;
    return {
      seed: functions["wasi:random/insecure-seed"]?.["insecureSeed"] as never,
      bytes: functions["wasi:random/random"]?.["getRandomBytes"] as never,
    };
  }

  test("gives each run a seed of its own", () => {
    expect(randomOf().seed()).not.toEqual(randomOf().seed());
  });

  test("gives as many bytes as asked for, and never more than the run's memory", () => {
    const { bytes } = randomOf();
    expect(
      bytes(200_000n)
        .slice(-1000)
        .some((byte) => byte !== 0),
    ).toBe(true);
    expect(() => bytes(2n ** 40n)).toThrow(TypeError);
  });
});
