import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createRuntime, defineTool, type CompiledArtifact, type Result, type Task, type Tool, type ToolSources } from "../../src/index.ts";
import { sha256 } from "../../src/internal/digest.ts";
import { artifactFormat } from "../../src/wasm/agreed.ts";
import { compileArtifact } from "../../src/wasm/compile.ts";
import { jcoTranspiler } from "../../src/wasm/component/jco/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { makeArtifact, type MadeArtifact } from "../../src/wasm/made.ts";
import { emptyCommand } from "../abuse/modules/binary.ts";

const components = jcoTranspiler();

/** With an engine that has nothing ready yet. */
async function execute(task: Task): Promise<Result> {
  await using runtime = createRuntime({ backend: wasm(), security: "standard" });
  return await runtime.execute(task);
}

interface Guest {
  readonly abi: "wasi-p1" | "extism" | "component";
  readonly file: string;
  readonly entry?: string;
  readonly input: string;
  readonly output: string;
}

const guests: readonly Guest[] = [
  { abi: "wasi-p1", file: "../cli/guests/echo.wasm", input: "given", output: '"given"' },
  { abi: "extism", file: "../wasm-extism/guests/calls.wasm", input: "given", output: '"given"' },
  { abi: "component", file: "../wasm-component/guests/text.wasm", input: "given", output: '"GIVEN"' },
];

function bytesOf({ file }: Guest): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(readFileSync(new URL(file, import.meta.url)));
}

function toolOf({ abi, entry }: Pick<Guest, "abi" | "entry">, sources: ToolSources, digest?: `sha256:${string}`): Promise<Tool> {
  const artifact = { abi, ...(entry === undefined ? {} : { entry }), ...(digest === undefined ? {} : { digest }) };
  const base = { name: "guest", version: "1.0.0", description: "Of a test", inputSchema: true };
  return defineTool({ ...base, artifacts: { wasm: artifact } }, sources);
}

async function makeOf(guest: Guest, deterministic = false): Promise<MadeArtifact> {
  return makeArtifact(await toolOf(guest, { wasm: bytesOf(guest) }), { deterministic, components });
}

async function compiledOf(guest: Guest, deterministic = false): Promise<CompiledArtifact> {
  return compileArtifact(await makeOf(guest, deterministic), { tool: "guest", maxCompileMs: 10_000 });
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe.each(guests)("an artifact of $abi", (guest) => {
  test("is plain data once it is made, the same each time, and says what it is of", async () => {
    const made = await makeOf(guest);
    expect(made).toMatchObject({ format: artifactFormat, abi: guest.abi, of: await sha256(bytesOf(guest)), deterministic: false });
    expect(JSON.parse(JSON.stringify(made.facts))).toEqual(made.facts);
    expect(structuredClone(made)).toEqual(made);
    expect(await makeOf(guest)).toEqual(made);
    expect(Object.values(made.modules).every((bytes) => WebAssembly.validate(bytes))).toBe(true);
  });

  test("runs from what the platform compiled, without its bytes and without compiling", async () => {
    const compiled = [await compiledOf(guest), await compiledOf(guest, true)];
    const compile = vi.spyOn(WebAssembly, "compile");
    const tool = await toolOf(guest, { compiled });
    expect(tool.manifest.artifacts.wasm?.digest).toBe(await sha256(bytesOf(guest)));
    expect((await execute({ tool, input: guest.input })).stdout).toBe(guest.output);
    const deterministic = { seed: "s", now: "2026-01-31T12:00:00Z" };
    expect((await execute({ tool, input: guest.input, deterministic })).stdout).toBe(guest.output);
    expect(compile).not.toHaveBeenCalled();
  });

  test("that is of other bytes than the manifest says is refused, by whoever makes the tool and by the engine", async () => {
    const compiled = [{ ...(await compiledOf(guest)), of: await sha256("other") }];
    const digest = await sha256(bytesOf(guest));
    await expect(toolOf(guest, { compiled }, digest)).rejects.toMatchObject({ code: "ERR_DIGEST_MISMATCH" });
    const tool = { ...(await toolOf(guest, {}, digest)), sources: { compiled } };
    await expect(execute({ tool, input: guest.input })).rejects.toMatchObject({ code: "ERR_DIGEST_MISMATCH", started: false });
    // Not even where the right bytes come with it.
    const both = { ...tool, sources: { compiled, wasm: bytesOf(guest) } };
    await expect(execute({ tool: both, input: guest.input })).rejects.toMatchObject({ code: "ERR_DIGEST_MISMATCH" });
  });

  const unfit: readonly (readonly [string, (artifact: CompiledArtifact) => CompiledArtifact, RegExp])[] = [
    ["another format", (artifact) => ({ ...artifact, format: artifactFormat + 1 }), /format 2/],
    ["another kind of run", (artifact) => ({ ...artifact, deterministic: true }), /none for plain runs/],
    ["another ABI", (artifact) => ({ ...artifact, abi: guest.abi === "extism" ? "component" : "extism" }), /the manifest says/],
    ["an engine that found out nothing", (artifact) => ({ ...artifact, facts: {} }), /its part/],
    [
      "an engine without its modules",
      (artifact) => ({ ...artifact, modules: {}, instantiate: () => ({}) }),
      /its part|no core module|component/,
    ],
  ];
  test.each(unfit)("for %s is refused, and it says what to do", async (what, change, why) => {
    if (what === "an engine without its modules" && guest.abi === "component") return;
    const tool = await toolOf(guest, { compiled: [change(await compiledOf(guest))] });
    const error = execute({ tool, input: guest.input });
    await expect(error).rejects.toMatchObject({ code: "ERR_ARTIFACT_UNSUPPORTED", started: false });
    await expect(error).rejects.toThrow(why);
    await expect(error).rejects.toThrow("toolruntime build");
  });
});

test.each(guests.slice(1))("an artifact of $abi that was built for another entry is refused", async (guest) => {
  const tool = await toolOf({ abi: guest.abi, entry: "by_offset" }, { compiled: [await compiledOf(guest)] });
  await expect(execute({ tool, input: guest.input })).rejects.toMatchObject({ code: "ERR_ARTIFACT_UNSUPPORTED" });
});

test("where what was built is for other runs, the bytes are taken", async () => {
  const [guest] = guests;
  if (guest === undefined) throw new Error("there is no guest");
  const tool = await toolOf(guest, { wasm: bytesOf(guest), compiled: [await compiledOf(guest, true)] });
  const compile = vi.spyOn(WebAssembly, "compile");
  expect((await execute({ tool, input: guest.input })).stdout).toBe(guest.output);
  expect(compile).toHaveBeenCalledTimes(1);
});

test("a bound that no memory has is refused before anything is mapped", async () => {
  const made = await makeArtifact(await toolOf({ abi: "wasi-p1" }, { wasm: emptyCommand() }), { deterministic: false });
  for (const memory of [{ min: -1 }, { min: 65_537 }, { min: 1, max: 1.5 }, { min: "1" }, [], "1"]) {
    const compiled = await compileArtifact({ ...made, facts: { ...made.facts, memory } }, { tool: "t", maxCompileMs: 10_000 });
    const tool = await toolOf({ abi: "wasi-p1" }, { compiled: [compiled] });
    await expect(execute({ tool })).rejects.toMatchObject({ code: "ERR_ARTIFACT_UNSUPPORTED" });
  }
});

test("the script of a component compiles and evaluates nothing", async () => {
  const [, , guest] = guests;
  const script = readFileSync(new URL("../../examples/tools/html-to-text/html-to-text.wasm", import.meta.url));
  for (const bytes of [guest === undefined ? new Uint8Array(0) : bytesOf(guest), Uint8Array.from(script)]) {
    const made = await makeArtifact(await toolOf({ abi: "component" }, { wasm: bytes }), { deterministic: false, components });
    expect(made.script).toMatch(/export function instantiate/);
    expect(made.script).not.toMatch(/new WebAssembly\.Module\b|WebAssembly\.compile|\beval\b|\bFunction\(|^import |\bimport\(/m);
  }
});
