import { createPlugin } from "@extism/extism";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { looksLikeExtism } from "../../src/wasm/extism/detect.ts";
import { endedByHost, guest, MiB, ready, runOnce } from "./support.ts";

const exited = (code: number): object => ({ kind: "exited", code });

describe("a plug-in", () => {
  test.each(["", "a", "1234567", "12345678", '{"text":"häuser"}', "x".repeat(100_000)])(
    "gets its input and gives its output: %#",
    async (input) => {
      const { outcome, stdout, stderr } = await runOnce(await ready("calls"), { input });
      expect(outcome.exit).toEqual(exited(0));
      expect(stdout).toBe(input);
      expect(stderr).toBe("");
    },
  );

  test("made by the public kit works", async () => {
    const { outcome, stdout } = await runOnce(await ready("vowels", "count_vowels"), { input: "Extism plug-ins by the kit" });
    expect(outcome.exit).toEqual(exited(0));
    expect(stdout).toBe('{"count":6}');
  });

  test("answers what it answers under the SDK alone", async () => {
    for (const [name, entry, input] of [
      ["vowels", "count_vowels", "the quick brown fox"],
      ["calls", "run", "the quick brown fox"],
      ["calls", "by_offset", "the quick brown fox"],
      ["calls", "variable", "kept"],
      ["calls", "initialized", ""],
    ] as const) {
      const peer = await createPlugin({ wasm: [{ data: Uint8Array.from(guest(name)) }] }, { useWasi: false });
      const expected = await peer.call(entry, input);
      const { stdout } = await runOnce(await ready(name, entry), { input });
      expect([entry, stdout]).toEqual([entry, expected?.text()]);
    }
  });

  test.each(["by_offset", "silent", "initialized"])("%s", async (entry) => {
    const { outcome, stdout } = await runOnce(await ready("calls", entry), { input: "given" });
    expect(outcome.exit).toEqual(exited(0));
    expect(stdout).toBe({ by_offset: "given", silent: "", initialized: "1" }[entry]);
  });

  test.each([
    ["error", "it broke\n"],
    ["error_but_zero", "it broke\n"],
    ["code", 'The plug-in\'s function "code" returned 7\n'],
  ])("that fails by %s ends with exit code 1 and says why on stderr", async (entry, message) => {
    const { outcome, stdout, stderr } = await runOnce(await ready("calls", entry), { input: "it broke" });
    expect(outcome.exit).toEqual(exited(1));
    expect(stdout).toBe("");
    expect(stderr).toBe(message);
  });

  test("logs to stderr from level info on", async () => {
    const { stdout, stderr } = await runOnce(await ready("calls", "log"), { input: "seen" });
    expect(stderr).toBe("info: seen\n");
    expect(stdout).toBe("2");
  });

  test("waits for whoever reads its logs", async () => {
    let isWriting = false;
    let lines = 0;
    const signal = new AbortController();
    const run = runOnce(await ready("calls", "log_for_ever"), {
      input: "line",
      signal: signal.signal,
      async onStderr() {
        expect(isWriting).toBe(false);
        isWriting = true;
        await new Promise((resolve) => setTimeout(resolve, 1));
        isWriting = false;
        if (++lines === 5) signal.abort(new Error("enough"));
      },
    });
    expect((await run).outcome.exit).toEqual(endedByHost);
    expect(lines).toBe(5);
  });

  test("traps", async () => {
    expect((await runOnce(await ready("calls", "trap"))).outcome.exit).toEqual({ kind: "trapped", trap: "unreachable" });
    expect((await runOnce(await ready("calls", "deep"))).outcome.exit).toEqual({ kind: "trapped", trap: "call stack exhausted" });
  });

  test("may log in its start section", async () => {
    const onStderr = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));
    const { outcome, stderr } = await runOnce(await ready("start"), { onStderr });
    expect(outcome.exit).toEqual(exited(0));
    expect(stderr).toBe("info: \0\0\0\n");
  });

  test("without the function that its manifest names is refused, and what it has is named", async () => {
    const refusal = ready("calls", "nothing");
    await expect(refusal).rejects.toMatchObject({ code: "ERR_ARTIFACT_INVALID" });
    await expect(refusal).rejects.toThrow('"by_offset"');
    await expect(ready("calls", "toString")).rejects.toMatchObject({ code: "ERR_ARTIFACT_INVALID" });
    await expect(ready("calls", "needs_parameter")).rejects.toMatchObject({ code: "ERR_ARTIFACT_INVALID" });
  });

  test("that imports no WASI is given no files", async () => {
    const files = [{ path: "in.txt", bytes: new Uint8Array(1) }];
    await expect(runOnce(await ready("calls"), { files })).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
  });
});

test("a plug-in is told by its imports from other modules", () => {
  for (const name of ["calls", "vowels", "wasi"]) expect(looksLikeExtism(guest(name))).toBe(true);
  const command = new Uint8Array(readFileSync(new URL("../wasm-component/guests/text.wasm", import.meta.url)));
  for (const bytes of [command, new Uint8Array(0), guest("calls").slice(0, 40)]) expect(looksLikeExtism(bytes)).toBe(false);
});

describe("a plug-in that imports WASI", () => {
  test("has this engine's WASI: its files, its out folder, what it prints on stderr", async () => {
    const files = [{ path: "in.txt", bytes: new TextEncoder().encode("from a file") }];
    const { outcome, stdout, stderr } = await runOnce(await ready("wasi"), { files });
    expect(outcome.exit).toEqual(exited(0));
    expect(stdout).toBe("from a file");
    expect(stderr).toBe("printed\n");
    expect(outcome.files.map(({ path, bytes }) => [path, new TextDecoder().decode(bytes)])).toEqual([["copy.txt", "from a file"]]);
    expect(outcome.readings).toContainEqual(expect.objectContaining({ limit: "disk", applied: MiB, peak: expect.any(Number) }));
  });

  test("finds none of the host's files", async () => {
    const { outcome } = await runOnce(await ready("wasi"));
    expect(outcome.exit).toEqual({ kind: "trapped", trap: "unreachable" });
  });

  test("that waits is ended by the signal while the event loop goes on", async () => {
    const plugin = await ready("wasi", "wait");
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error("enough")), 20);
    expect((await runOnce(plugin, { signal: abort.signal })).outcome.exit).toEqual(endedByHost);
  });

  test("ends itself with a code", async () => {
    expect((await runOnce(await ready("wasi", "leave"))).outcome.exit).toEqual(exited(3));
  });
});
