/** What @extism/extism 2.0.0-rc13 leaves open, each closed in the engine that links plug-ins here. */
import { describe, expect, test } from "vitest";
import { encodeName, encodeU32, writeModule } from "../../src/wasm/binary.ts";
import { makeExtism } from "../../src/wasm/extism/make.ts";
import { guest, makingOf, MiB, ready, runOnce } from "./support.ts";

const ownNames = Object.getOwnPropertyNames(Object.prototype);
const functionNames = Object.getOwnPropertyNames(Function.prototype);

/** A module that imports one function without parameters and exports another as `run`. */
function importing(namespace: string, name: string): Uint8Array {
  const section = (id: number, content: number[]): { id: number; content: Uint8Array } => ({ id, content: Uint8Array.from(content) });
  return writeModule([
    section(1, [1, 0x60, 0, 0]),
    section(2, [1, ...encodeName(namespace), ...encodeName(name), 0, 0]),
    section(3, [1, 0]),
    section(7, [1, ...encodeName("run"), 0, ...encodeU32(1)]),
    section(10, [1, 2, 0, 0x0b]),
  ]);
}

const prototypeNames = ["__proto__", "constructor", "hasOwnProperty", "toString", "valueOf", "isPrototypeOf", "__defineGetter__"];
const namespaces = [
  "extism:host/env",
  "extism:host/user",
  "wasi_snapshot_preview1",
  "toolruntime:wasi",
  "toolruntime:host",
  "env",
  "__proto__",
  "constructor",
];

describe("imports", () => {
  test.each(namespaces.flatMap((namespace) => prototypeNames.map((name) => [namespace, name] as const)))(
    "%s %s is refused by name",
    async (namespace, name) => {
      const bytes = importing(namespace, name);
      expect(WebAssembly.validate(bytes.slice())).toBe(true);
      const refusal = makeExtism(bytes, makingOf("prototype"), { entry: "run" });
      await expect(refusal).rejects.toMatchObject({ code: "ERR_IMPORT_DENIED", details: { namespace, name } });
    },
  );

  test("nothing of it stays behind on a host object", () => {
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(ownNames);
    expect(Object.getOwnPropertyNames(Function.prototype)).toEqual(functionNames);
  });

  test.each(["http_request", "http_status_code", "http_headers"])("the network: %s is refused by name", async (name) => {
    const refusal = makeExtism(importing("extism:host/env", name), makingOf("network"), { entry: "run" });
    await expect(refusal).rejects.toMatchObject({ code: "ERR_IMPORT_DENIED", details: { name } });
  });

  test.each([
    ["extism:host/env", "alloc"],
    ["wasi_snapshot_preview1", "fd_write"],
  ])("%s %s as another type is refused", async (namespace, name) => {
    const refusal = makeExtism(importing(namespace, name), makingOf("type"), { entry: "run" });
    await expect(refusal).rejects.toMatchObject({ code: "ERR_IMPORT_DENIED", details: { name, type: "->" } });
  });

  test("a module that imports what is granted passes", async () => {
    const { facts } = await makeExtism(guest("wasi"), makingOf("fine"), { entry: "run" });
    expect(facts).toMatchObject({ entry: "run", memory: { min: expect.any(Number) }, wasi: expect.arrayContaining(["fd_write"]) });
  });
});

describe("calls", () => {
  test("twenty thousand in a row: nothing is used up", async () => {
    const artifact = await ready("calls");
    let right = 0;
    for (let call = 0; call < 20_000; call++) {
      if ((await runOnce(artifact, { input: "ping" })).stdout === "ping") right++;
    }
    expect(right).toBe(20_000);
  }, 120_000);

  test("three million blocks in one call", async () => {
    const { outcome, stdout } = await runOnce(await ready("calls", "many_blocks"), { memoryBytes: 4 * MiB });
    expect(outcome.exit).toEqual({ kind: "exited", code: 0 });
    expect(stdout).toBe("1");
  });

  test("fifty at once keep apart", async () => {
    const artifact = await ready("calls", "log");
    const echo = await ready("calls");
    const runs = Array.from({ length: 50 }, (_, index) =>
      // A log line that has to wait suspends the plug-in in the middle of its call.
      Promise.all([
        runOnce(artifact, { input: `log ${index}`, onStderr: () => new Promise((resolve) => setTimeout(resolve, 50 - index)) }),
        runOnce(echo, { input: `input ${index}` }),
      ]),
    );
    for (const [index, [logged, echoed]] of (await Promise.all(runs)).entries()) {
      expect(logged.stderr).toBe(`info: log ${index}\n`);
      expect(echoed.stdout).toBe(`input ${index}`);
    }
  });

  test("find nothing of an earlier one: memory, global, variable", async () => {
    const artifact = await ready("calls", "remember");
    for (let call = 0; call < 3; call++) expect((await runOnce(artifact)).stdout).toBe("2");
  });
});

describe("memory", () => {
  test.each([1, 4, 16, 64])("a plug-in that grows until it fails stays inside %i MiB", async (mib) => {
    const { outcome, stdout } = await runOnce(await ready("calls", "grow"), { memoryBytes: mib * MiB });
    expect(outcome.exit).toEqual({ kind: "exited", code: 0 });
    expect(stdout.length * 65_536).toBe(mib * MiB * 0.75);
    const reading = outcome.readings.find(({ limit }) => limit === "memory");
    expect(reading).toMatchObject({ applied: mib * MiB, hit: "yes" });
    expect(reading?.peak).toBeLessThanOrEqual(mib * MiB);
  });

  test("one artifact under several limits, each held", async () => {
    const artifact = await ready("calls", "grow");
    for (const mib of [1, 8, 2, 3, 4, 5, 6, 7, 1]) {
      expect((await runOnce(artifact, { memoryBytes: mib * MiB })).stdout.length * 65_536).toBe(mib * MiB * 0.75);
    }
  });

  test.each(["alloc_huge", "alloc_negative", "alloc_for_ever", "variables_for_ever"])("the host's blocks count: %s", async (entry) => {
    const { outcome } = await runOnce(await ready("calls", entry), { input: "a value", memoryBytes: 4 * MiB });
    expect(outcome.exit.kind).toBe("trapped");
    expect(outcome.limitHit).toEqual({ limit: "memory" });
    const reading = outcome.readings.find(({ limit }) => limit === "memory");
    expect(reading?.hit).toBe("yes");
    expect(reading?.peak).toBeLessThanOrEqual(4 * MiB);
  });

  test("an output larger than the host's part ends at the limit", async () => {
    const { outcome } = await runOnce(await ready("calls"), { input: new Uint8Array(2 * MiB), memoryBytes: 4 * MiB });
    expect(outcome.limitHit).toEqual({ limit: "memory" });
  });

  test("a plug-in that begins with more than its limit does not start", async () => {
    await expect(runOnce(await ready("calls"), { memoryBytes: 65_536 })).rejects.toMatchObject({ code: "ERR_LIMIT_MEMORY" });
  });

  test.each([
    "load_outside", "load_across", "load_negative", "load_null", "store_outside", "use_after_free", "output_outside", "output_negative", "input_outside",
  ])("an address that is not the plug-in's is a trap: %s", async (entry) => {
    const { outcome } = await runOnce(await ready("calls", entry), { input: "short" });
    expect(outcome.exit).toEqual({ kind: "trapped", trap: "abi" });
  }); // prettier-ignore

  test("what is freed twice, or was never given out, is left alone", async () => {
    expect((await runOnce(await ready("calls", "free_twice"))).stdout).toBe("1");
  });

  test("a plug-in that catches what ended it has ended all the same", async () => {
    const limit = await runOnce(await ready("catcher", "limit"));
    expect(limit.outcome.limitHit).toEqual({ limit: "memory" });
    expect(limit.stdout).toBe("");
    // No host call after the one that ended it is served.
    expect(limit.stderr).toBe("");
    expect((await runOnce(await ready("catcher", "abi"))).outcome.exit).toEqual({ kind: "trapped", trap: "abi" });
  });
});

describe("configuration", () => {
  test.each([...prototypeNames, "anything", ""])("the key %j has no value", async (input) => {
    expect((await runOnce(await ready("calls", "config"), { input })).stdout).toBe("0");
  });
});
