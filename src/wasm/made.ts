import { ToolRuntimeError } from "../errors.ts";
import { assertDigest, sha256 } from "../internal/digest.ts";
import type { CompiledArtifact, EngineAbi, Tool, WasmAbi } from "../tool.ts";
import { artifactFormat, entryOf, type EngineArtifact } from "./agreed.ts";
import { layerOf } from "./binary.ts";
import { makeComponent } from "./component/make.ts";
import type { ComponentTranspiler } from "./component/transpiler.ts";
import { looksLikeExtism } from "./extism/detect.ts";
import { makeExtism } from "./extism/make.ts";
import type { Making, Offload } from "./ingest.ts";
import type { JavaScriptEngine } from "./javascript/engine.ts";
import { makeSnippet } from "./javascript/make.ts";
import { makeWasiCommand } from "./wasi-make.ts";

/** By default, the largest artifact, in bytes. */
export const defaultMaxArtifactBytes: number = 64 * 2 ** 20;

/**
 * An artifact after ingest: checked and metered, but not compiled. Plain data, so that it can be sent and stored; to run it,
 * its modules are compiled by whatever may do that, and its script is imported. See `compileArtifact`.
 */
export interface MadeArtifact extends Omit<CompiledArtifact, "modules" | "instantiate"> {
  readonly modules: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;
  /** The generated JavaScript of a component: a module without imports that exports `instantiate`. */
  readonly script?: string;
}

/** The part of an artifact that its ABI makes. */
export type MadeParts = Pick<MadeArtifact, "facts" | "modules" | "script">;

export interface MakeOptions {
  /** Of a tool that has both. Default: its WebAssembly. */
  readonly artifact?: EngineArtifact;
  /** Whether it is to be for deterministic runs, and for those alone. */
  readonly deterministic: boolean;
  /** The largest artifact, in bytes. Default 64 MiB. */
  readonly maxArtifactBytes?: number;
  /** Makes components ready: `jcoTranspiler()` on Node. Without it they are refused. */
  readonly components?: ComponentTranspiler | undefined;
  /** Runs snippets: `quickJs()` on Node. Without it they are refused. */
  readonly javascript?: JavaScriptEngine | undefined;
  /** Rewrites large modules off the event loop. */
  readonly offload?: Offload | undefined;
}

/**
 * Loads a tool's WebAssembly or snippet, checks its digest, and puts it through ingest.
 *
 * @throws `ERR_ARTIFACT_INVALID`, `ERR_ARTIFACT_TOO_LARGE`, `ERR_DIGEST_MISMATCH`, `ERR_IMPORT_DENIED`, `ERR_LIMIT_COMPILE`,
 * `ERR_BACKEND_UNAVAILABLE` where nothing transpiles components or runs snippets.
 */
export async function makeArtifact(tool: Tool, options: MakeOptions): Promise<MadeArtifact> {
  const { name, artifacts } = tool.manifest;
  const { deterministic, offload, components, javascript, maxArtifactBytes = defaultMaxArtifactBytes } = options;
  const { artifact = artifacts.wasm === undefined && artifacts.code !== undefined ? "code" : "wasm" } = options;
  const bytes = await loadArtifact(tool, artifact, maxArtifactBytes);
  const of = await sha256(bytes);
  assertDigest(name, artifacts[artifact]?.digest, of);
  const abi = artifact === "code" ? "javascript" : (artifacts.wasm?.abi ?? detectAbi(bytes));
  const parts = await makeParts(abi, bytes, { making: { tool: name, deterministic, offload }, tool, components, javascript });
  return { format: artifactFormat, abi, of, deterministic, ...parts };
}

interface PartsRequest {
  readonly making: Making;
  readonly tool: Tool;
  readonly components: ComponentTranspiler | undefined;
  readonly javascript: JavaScriptEngine | undefined;
}

function makeParts(abi: EngineAbi, bytes: Uint8Array, { making, tool, components, javascript }: PartsRequest): Promise<MadeParts> {
  const entry = entryOf(tool);
  if (abi === "javascript") return makeSnippet(bytes, making, { tool, engine: javascript });
  if (abi === "extism") return makeExtism(bytes, making, { entry });
  if (abi === "component") return makeComponent(bytes, making, { entry, transpiler: components });
  return makeWasiCommand(bytes, making);
}

const encoder = new TextEncoder();

/** The artifact's bytes; of a snippet its text. @throws `ERR_ARTIFACT_INVALID`, `ERR_ARTIFACT_TOO_LARGE`. */
export async function loadArtifact({ manifest, sources }: Tool, kind: EngineArtifact, maxArtifactBytes: number): Promise<Uint8Array> {
  const { name, artifacts } = manifest;
  const inline = kind === "code" ? artifacts.code?.source : undefined;
  const source = inline === undefined ? sources[kind] : encoder.encode(inline);
  const what = kind === "code" ? "JavaScript" : "WebAssembly";
  if (source === undefined)
    throw new ToolRuntimeError("ERR_ARTIFACT_INVALID", `Cannot load the ${what} of the tool "${name}": its bytes were not given`);
  const bytes = source instanceof Uint8Array ? source : await source();
  if (bytes.length <= maxArtifactBytes) return bytes;
  throw new ToolRuntimeError(
    "ERR_ARTIFACT_TOO_LARGE",
    `Cannot load the ${what} of the tool "${name}": it is ${bytes.length} bytes, the most is ${maxArtifactBytes}`,
    { details: { tool: name, size: bytes.length, maxArtifactBytes } },
  );
}

/** For manifests that do not say: a component by its first bytes, a plug-in by what it imports. */
function detectAbi(bytes: Uint8Array): WasmAbi {
  if (layerOf(bytes) === "component") return "component";
  return looksLikeExtism(bytes) ? "extism" : "wasi-p1";
}
