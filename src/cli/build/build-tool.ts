import { ToolRuntimeError } from "../../errors.ts";
import { sha256 } from "../../internal/digest.ts";
import { defineTool, type Tool } from "../../tool.ts";
import type { ComponentTranspiler } from "../../wasm/component/transpiler.ts";
import type { JavaScriptEngine } from "../../wasm/javascript/engine.ts";
import type { EngineArtifact } from "../../wasm/agreed.ts";
import { makeArtifact, type MadeArtifact } from "../../wasm/made.ts";

/** A file of the build, relative to the out folder and with `/`. */
export interface OutFile {
  readonly path: string;
  readonly content: Uint8Array;
}

/** One variant of a tool's artifact, and where its parts are. */
export interface BuiltVariant {
  readonly made: MadeArtifact;
  /** Paths by the names of its modules. */
  readonly modules: Readonly<Record<string, string>>;
  readonly script?: string;
}

export interface ToolBuild {
  readonly tool: Tool;
  readonly variants: readonly BuiltVariant[];
  readonly files: readonly OutFile[];
}

const encoder = new TextEncoder();

/** What an artifact is made for; a run takes the one of its own kind. */
export const variantNames = ["plain", "deterministic"] as const;
export type VariantName = (typeof variantNames)[number];

export interface BuildOptions {
  readonly variants: readonly VariantName[];
  readonly components: ComponentTranspiler;
  readonly javascript: JavaScriptEngine;
}

/** The artifacts of a tool that can be built. */
export function buildable({ manifest }: Tool): readonly EngineArtifact[] {
  return (["wasm", "code"] as const).filter((kind) => manifest.artifacts[kind] !== undefined);
}

/**
 * Makes the variants of a tool's WebAssembly, or of its snippet with what runs it.
 *
 * @throws `ERR_ARTIFACT_UNSUPPORTED` where it has neither, and what `makeArtifact` throws.
 */
export async function buildTool(tool: Tool, { variants: wanted, ...options }: BuildOptions): Promise<ToolBuild> {
  const { name, version } = tool.manifest;
  const kinds = buildable(tool);
  if (kinds.length === 0) throw notBuildable(tool);
  const files = new FileNames();
  const variants: BuiltVariant[] = [];
  for (const artifact of kinds) {
    // All snippets are run by the same module.
    const folder = artifact === "code" ? "quickjs" : `${name}-${version}`;
    for (const deterministic of wanted.map((variant) => variant === "deterministic")) {
      const made = await makeArtifact(tool, { ...options, artifact, deterministic });
      const suffix = deterministic ? ".deterministic" : "";
      const modules: Record<string, string> = {};
      for (const [module, content] of Object.entries(made.modules)) {
        modules[module] = await files.add({ folder, name: module.replace(/\.wasm$/, ""), extension: `${suffix}.wasm`, content });
      }
      if (made.script === undefined) variants.push({ made, modules });
      else {
        const content = encoder.encode(made.script);
        variants.push({ made, modules, script: await files.add({ folder, name: "component", extension: `${suffix}.js`, content }) });
      }
    }
  }
  return { tool: await pinned(tool, variants), variants, files: files.all };
}

/** Names the bytes in the manifest where it does not: a deployed tool has no others. */
async function pinned({ manifest, sources }: Tool, variants: readonly BuiltVariant[]): Promise<Tool> {
  const artifacts = structuredClone(manifest.artifacts);
  for (const { made } of variants) {
    const artifact = made.abi === "javascript" ? artifacts.code : artifacts.wasm;
    if (artifact !== undefined) artifact.digest = made.of;
  }
  return defineTool({ ...manifest, artifacts }, sources);
}

function notBuildable({ manifest }: Tool): ToolRuntimeError {
  const kinds = Object.keys(manifest.artifacts).join(", ");
  return new ToolRuntimeError(
    "ERR_ARTIFACT_UNSUPPORTED",
    `Cannot build the tool "${manifest.name}": its manifest names only ${kinds}; what can be built is "wasm" and "code"`,
    { details: { tool: manifest.name, artifacts: kinds } },
  );
}

interface Part {
  readonly folder: string;
  readonly name: string;
  readonly extension: string;
  readonly content: Uint8Array;
}

/** The files of one tool. What is in both variants the same is there once. */
class FileNames {
  readonly all: OutFile[] = [];
  readonly #byContent = new Map<string, string>();

  async add({ folder, name, extension, content }: Part): Promise<string> {
    // A platform may give one module for one file: two parts of an artifact stay apart.
    const key = `${name} ${await sha256(content)}`;
    const known = this.#byContent.get(key);
    if (known !== undefined) return known;
    const path = `${folder}/${name}${extension}`;
    this.#byContent.set(key, path);
    this.all.push({ path, content });
    return path;
  }
}
