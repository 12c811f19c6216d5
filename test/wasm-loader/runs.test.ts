import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findBinary } from "../../bench/engines.ts";
import {
  createRuntime,
  defineTool,
  memoryBlobStore,
  ToolRuntimeError,
  type LimitReceipt,
  type ManifestInput,
  type Runtime,
} from "../../src/index.ts";
import { sha256 } from "../../src/internal/digest.ts";
import { jcoTranspiler } from "../../src/wasm/component/jco/index.ts";
import type { ComponentTranspiler } from "../../src/wasm/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { makeArtifact } from "../../src/wasm/made.ts";
import { filesOf, load, toolNames, toolsFolder } from "../tools/support.ts";
import { openService, type Answer, type Service } from "./support.ts";
import type { LoaderRequest, TranspiledData } from "./worker.ts";

const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/** The transpiler of this process, and what it was asked for last. */
class Recording implements ComponentTranspiler {
  last: TranspiledData | undefined;
  readonly #transpiler = jcoTranspiler();

  readonly transpile: ComponentTranspiler["transpile"] = async (request) => {
    const made = await this.#transpiler.transpile(request);
    const encode = (modules: ReadonlyMap<string, Uint8Array>) =>
      Object.fromEntries([...modules].map(([name, bytes]) => [name, base64(bytes)]));
    this.last = { of: await sha256(request.bytes), script: made.script, cores: encode(made.cores), helpers: encode(made.helpers) };
    return made;
  };
}

const probeBytes = readFileSync(new URL("../../src/conformance/guests/probe.wasm", import.meta.url));
const probeManifest: ManifestInput = {
  name: "probe",
  version: "1.0.0",
  description: "Does what its input says",
  inputSchema: true,
  artifacts: { wasm: { abi: "wasi-p1" } },
};

const blobs = memoryBlobStore();
const transpiler = new Recording();
const inline: Runtime = createRuntime({ backend: wasm({ components: transpiler }), security: "standard", blobs });
let service: Service;

beforeAll(async () => {
  if (isMissing) return;
  service = await openService();
  await service.add({ manifest: probeManifest, base64: base64(probeBytes) });
});
afterAll(async () => {
  await inline.close();
  if (isMissing) return;
  await service[Symbol.asyncDispose]();
});

/** A receipt without what the clock and the machine put into it. */
function lasting({ peak, ...receipt }: LimitReceipt): object {
  return receipt.limit === "timeout" || receipt.limit === "cpuTime" ? receipt : { ...receipt, peak: peak ?? null };
}

/** Of a run that was ended from outside: how far it had come is no property of the tool. */
function lastingOfEnded({ peak, ...receipt }: LimitReceipt): object {
  return receipt.limit === "fuel" ? receipt : lasting({ ...receipt, ...(peak === undefined ? {} : { peak }) });
}

interface Outcome {
  readonly [fact: string]: unknown;
}

function outcomeThere({ result, outputs, error }: Answer): Outcome {
  if (error !== undefined) {
    const { code, started, details, partial } = error;
    const { observed: _, ...facts } = details;
    return {
      code,
      message: withoutFigures(String(error["message"])),
      started,
      details: facts,
      limits: partial?.limits.map(lastingOfEnded),
      stdout: partial?.stdout,
    };
  }
  if (result === undefined) throw new Error("there is neither a result nor an error");
  const { exit, exitCode, output, stdout, stderr, truncated, replaced, files, limits, backend } = result;
  expect(backend.isolation).toBe("isolate");
  return { exit, exitCode, output, stdout, stderr, truncated, replaced, files, outputs, limits: limits.map(lasting) };
}

function withoutFigures(message: string): string {
  return message.replace(/observed [\d.]+ ms/, "observed");
}

async function outcomeHere(
  tool: Awaited<ReturnType<typeof defineTool>>,
  request: Omit<LoaderRequest, "tool" | "security">,
): Promise<Outcome> {
  const { files = {}, deadline, pauseMs: _pause, failLoads: _fail, ...task } = request;
  const inputs = Object.fromEntries(Object.entries(files).map(([path, text]) => [path, new Uint8Array(Buffer.from(text, "base64"))]));
  try {
    const result = await inline.execute({ ...task, tool, files: inputs }, deadline === undefined ? {} : { deadline });
    const { exit, exitCode, output, stdout, stderr, truncated, replaced, files: made, limits } = result;
    const outputs: Record<string, string> = {};
    for (const { path, digest } of made) outputs[path] = base64((await blobs.get(digest)) ?? new Uint8Array(0));
    return { exit, exitCode, output, stdout, stderr, truncated, replaced, files: made, outputs, limits: limits.map(lasting) };
  } catch (error) {
    if (!(error instanceof ToolRuntimeError)) throw error;
    const { code, message, started, details, partial } = error;
    const { observed: _observed, ...facts } = details;
    return {
      code,
      message: withoutFigures(message),
      started,
      details: facts,
      limits: partial?.limits.map(lastingOfEnded),
      stdout: partial?.stdout,
    };
  }
}

const fixed = { deterministic: { seed: 1, now: "2026-01-01T00:00:00Z" } } as const;

describe.skipIf(isMissing)("a run in an isolate", () => {
  it.each<[string, Omit<LoaderRequest, "tool" | "security">]>([
    ["an echo", { input: { do: "echo", text: "häuser €" } }],
    ["an exit code", { input: { do: "exit", code: 7 } }],
    ["a trap", { input: { do: "trap" } }],
    ["both streams", { input: { do: "steps", steps: [{ do: "write", text: "a" }, { do: "write", to: "stderr", text: "b" }] } }], // prettier-ignore
    ["100 KB of output", { input: { do: "fill", bytes: 100_000, chunk: 70_000 } }],
    ["many small writes", { input: { do: "write", text: "x", count: 3000 } }],
    ["bytes that are no text", { input: { do: "write", hex: "ff00fe" } }],
    ["the environment", { input: { do: "env" }, env: { A: "1", B: "zwei" } }],
    ["an input file", { input: { do: "read", path: "in/a.txt" }, files: { "in/a.txt": base64(Buffer.from("content")) } }],
    [
      "a large input file",
      { input: { do: "read", path: "in/a" }, files: { "in/a": base64(Buffer.alloc(300_000, 7)) }, resources: { output: "1Mi" } },
    ],
    ["two output files", { input: { do: "save", path: "out/x", text: "saved", bytes: 70_000, count: 2 } }],
    ["a sleep", { input: { do: "sleep", ms: 20 } }],
    ["random bytes and clocks of a seed", { input: { do: "steps", steps: [{ do: "random" }, { do: "clock" }, { do: "sleep", ms: 5000 }] }, ...fixed }], // prettier-ignore
    ["an endless loop and its fuel", { input: { do: "spin" }, resources: { fuel: 3_000_000 }, ...fixed }],
    ["an endless loop and its time", { input: { do: "spin" }, resources: { timeout: 100 } }],
    ["a deadline", { input: { do: "sleep", ms: 5000 }, deadline: "80ms" }],
    ["more output than it may have", { input: { do: "fill", bytes: 100_000, chunk: 1000 }, resources: { output: 4096 } }],
    ["more memory than it may have", { input: { do: "allocate", bytes: 64 * 2 ** 20 }, resources: { memory: "8Mi" } }],
    ["less memory than it begins with", { input: { do: "echo" }, resources: { memory: "64Ki" } }],
    ["more files than the disk takes", { input: { do: "save", path: "out/x", bytes: 200_000 }, resources: { disk: 100_000 } }],
  ])("is the same as in the service itself: %s", async (_, request) => {
    const tool = await defineTool(probeManifest, { wasm: probeBytes });
    const there = outcomeThere(await service.run({ tool: "probe", security: "standard", ...request }));
    expect(there).toEqual(await outcomeHere(tool, request));
  });

  it("has the same errors before it: a module without an entry, another digest, an import that nobody grants", async () => {
    const empty = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
    const wrong = { ...probeManifest, artifacts: { wasm: { digest: `sha256:${"0".repeat(64)}` } } };
    const cases: readonly [string, ManifestInput, Uint8Array][] = [
      ["ERR_ARTIFACT_INVALID", { ...probeManifest, name: "empty" }, empty],
      ["ERR_ARTIFACT_INVALID", { ...probeManifest, name: "text" }, Buffer.from("no module")],
      ["ERR_DIGEST_MISMATCH", { ...wrong, name: "wrong" }, probeBytes],
    ];
    for (const [code, manifest, bytes] of cases) {
      await service.add({ manifest, base64: base64(bytes) });
      const there = await service.run({ tool: manifest.name, security: "standard" });
      expect(there.error).toMatchObject({ code, started: false });
      const tool = await defineTool(manifest, { wasm: async () => bytes });
      expect(outcomeThere(there)).toEqual(await outcomeHere(tool, {}));
    }
  });

  it("waits while the reader of its output is busy", async () => {
    const { result, seenBytes, pausedAtBytes } = await service.run({
      tool: "probe",
      security: "standard",
      input: { do: "fill", bytes: 300_000, chunk: 1000, report: 150 },
      resources: { output: "512Ki" },
      pauseMs: 400,
    });
    const { before, stallMs }: { before: number; stallMs: number } = JSON.parse(result?.stderr ?? "");
    expect(stallMs).toBeGreaterThanOrEqual(150);
    // The window, what goes with one ack, and one write.
    expect(before).toBeLessThanOrEqual(64 * 1024 + 32 * 1024);
    expect(pausedAtBytes).toBeLessThanOrEqual(32 * 1024);
    expect(seenBytes).toBeGreaterThanOrEqual(300_000);
  });

  it("is over when its caller goes away, and others go on", async () => {
    const leave = new AbortController();
    const gone = service.run({ tool: "probe", security: "standard", input: { do: "spin" }, resources: { timeout: "60s" } }, leave.signal);
    await new Promise((resolve) => setTimeout(resolve, 100));
    leave.abort();
    await expect(gone).rejects.toThrow(/abort/i);
    const { result } = await service.run({ tool: "probe", security: "standard", input: { do: "echo", text: "on" } });
    expect(result?.stdout).toContain("on");
  });

  it("shares an isolate with runs under the same limits, and with no others", async () => {
    const base = { tool: "probe", security: "standard", input: { do: "scan", hex: "5eed" } } as const;
    const before = await service.run(base);
    const known = (answer: Answer): string[] => Object.keys(answer.isolates);
    const again = await service.run(base);
    expect(known(again)).toEqual(known(before));
    expect(Object.values(again.isolates).every(({ loads }) => loads === 1)).toBe(true);
    const variants: readonly Partial<LoaderRequest>[] = [
      { security: "dev" },
      { resources: { memory: "32Mi" } },
      { resources: { cpuTime: 700 } },
      { resources: { timeout: 777 } },
      { resources: { fuel: "1G" } },
      { resources: { timeout: 888 } },
      { resources: { timeout: 888 }, ...fixed },
    ];
    let count = known(again).length;
    for (const variant of variants) expect(known(await service.run({ ...base, ...variant }))).toHaveLength(++count);
    // Which seed a run has is not the isolate's.
    const seeded = { ...base, resources: { timeout: 888 }, deterministic: { seed: 2, now: 0 } };
    expect(known(await service.run(seeded))).toHaveLength(count);
    // Another name is another program to the guest.
    await service.add({ manifest: { ...probeManifest, name: "other" }, base64: base64(probeBytes) });
    expect(known(await service.run({ ...base, tool: "other" }))).toHaveLength(++count);
  });

  it("has an isolate for itself where no place is left, which is not kept", async () => {
    await using small = await openService({ maxIsolates: 2 });
    await small.add({ manifest: probeManifest, base64: base64(probeBytes) });
    let last: Answer | undefined;
    for (const timeout of [1001, 1002, 1003, 1004, 1001]) {
      last = await small.run({ tool: "probe", security: "standard", input: { do: "echo", text: `at ${timeout}` }, resources: { timeout } });
      expect(last.result?.stdout).toContain(`at ${timeout}`);
    }
    const { unnamed, ...named } = last?.isolates ?? {};
    expect(unnamed).toEqual({ runs: 2, loads: 2 });
    expect(Object.values(named)).toEqual([
      { runs: 2, loads: 1 },
      { runs: 1, loads: 1 },
    ]);
  });

  it("has an instance of its own, and its own streams, beside others in the same isolate", async () => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        service.run({
          tool: "probe",
          security: "standard",
          input: {
            do: "steps",
            steps: [
              { do: "litter", hex: "5eed1234" },
              { do: "sleep", ms: 30 },
              { do: "echo", text: `run ${index}` },
            ],
          },
          resources: { timeout: 4321 },
        }),
      ),
    );
    for (const [index, { result }] of answers.entries()) {
      expect(result?.stdout).toContain(`run ${index}`);
      expect(result?.stdout).toContain('"runs":1');
    }
    const { result } = await service.run({
      tool: "probe",
      security: "standard",
      input: { do: "scan", hex: "5eed1234" },
      resources: { timeout: 4321 },
    });
    expect(JSON.parse(result?.stdout ?? "")).toEqual({ found: 0, runs: 1 });
  });

  it("is tried once more where its isolate could not be loaded, under another id: workerd keeps what failed", async () => {
    const fresh = { tool: "probe", security: "standard", input: { do: "echo", text: "here" }, resources: { timeout: 5432 } } as const;
    const before = Object.keys((await service.run({ tool: "probe", security: "standard" })).isolates);
    const { result, isolates } = await service.run({ ...fresh, failLoads: 1 });
    expect(result?.stdout).toContain("here");
    const ids = Object.keys(isolates).filter((id) => !before.includes(id));
    expect(ids).toEqual([expect.stringMatching(/^sha256:[0-9a-f]{64}$/), `${ids[0]} 1`]);
    const other = { ...fresh, resources: { timeout: 5433 } };
    expect((await service.run({ ...other, failLoads: 2 })).error).toMatchObject({ code: "ERR_BACKEND_FAILED", started: false });
    expect((await service.run(other)).result?.stdout).toContain("here");
  });

  it("is refused in profile hardened", async () => {
    const { error } = await service.run({ tool: "probe", security: "hardened" });
    expect(error).toMatchObject({ code: "ERR_PROFILE_UNSUPPORTED", started: false });
  });
});

describe.skipIf(isMissing)("the sample tools in isolates", () => {
  it.each(toolNames)("%s gives the same output and takes the same fuel as in the service itself", async (name) => {
    const tool = await load(name);
    const { manifest } = tool;
    if (manifest.artifacts.wasm?.file === undefined) return;
    const bytes = new Uint8Array(readFileSync(join(toolsFolder, name, manifest.artifacts.wasm.file)));
    transpiler.last = undefined;
    if (manifest.artifacts.wasm.abi === "component") await makeArtifact(tool, { deterministic: true, components: transpiler });
    const transpiled = transpiler.last === undefined ? {} : { transpiled: transpiler.last };
    await service.add({ manifest: structuredClone(manifest), base64: base64(bytes), ...transpiled });
    for (const { input, files, output } of manifest.examples ?? []) {
      const given = Object.fromEntries(Object.entries(await filesOf(name, files)).map(([path, content]) => [path, base64(content)]));
      const request = { input, files: given, ...fixed };
      const answer = await service.run({ tool: name, security: "standard", ...request });
      expect([answer.error, answer.result]).toMatchObject([undefined, { exitCode: 0, output }]);
      expect(answer.result?.limits.find(({ limit }) => limit === "fuel")?.peak).toBeGreaterThan(0);
      expect(outcomeThere(answer)).toEqual(await outcomeHere(tool, request));
    }
  });
});
