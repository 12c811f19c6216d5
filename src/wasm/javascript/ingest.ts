import { ToolRuntimeError } from "../../errors.ts";
import { sha256 } from "../../internal/digest.ts";
import { ingestModule, type Making } from "../ingest.ts";
import type { Import, MeteredModule } from "../meter/index.ts";
import type { FunctionType } from "../types.ts";
import { quickJsDigest, quickJsExports, quickJsImports, quickJsMemory, quickJsMinPages, quickJsNamespace } from "./quickjs.ts";

const importTypes: ReadonlyMap<string, FunctionType> = new Map(Object.values(quickJsImports));

function allows({ namespace, name, kind }: Pick<Import, "namespace" | "name" | "kind">): boolean {
  if (namespace !== quickJsNamespace) return false;
  return kind === "function" ? importTypes.has(name) : kind === "memory" && name === quickJsMemory;
}

/**
 * Meters QuickJS: it goes through ingest as a guest's module does, since what runs in it is a guest.
 *
 * @throws `ERR_DIGEST_MISMATCH` for another build, and what ingest throws.
 */
export async function ingestQuickJs(bytes: Uint8Array, making: Making): Promise<MeteredModule> {
  const digest = await sha256(bytes);
  if (digest !== quickJsDigest) {
    throw new ToolRuntimeError(
      "ERR_DIGEST_MISMATCH",
      `Cannot run JavaScript on backend "wasm": the module of QuickJS is ${digest}, this version of toolruntime takes ${quickJsDigest}`,
      { details: { expected: quickJsDigest, actual: digest } },
    );
  }
  const metered = await ingestModule(lowerMemory(bytes), making, { allows, memory: "import", start: "export" });
  const imported = new Map(metered.imports.map(({ name, type }) => [name, type]));
  const fits =
    Object.values(quickJsImports).every(([name, type]) => imported.get(name) === type) &&
    Object.values(quickJsExports).every(([name, type]) => metered.functions.get(name) === type);
  if (!fits) throw new TypeError("the module of QuickJS is not of the types that it is called by");
  return metered;
}

/** The import of its memory: of at least 256 pages, at most 32,768. */
const memoryImport = [1, 0x61, 1, 0x61, 2, 1, 0x80, 0x02, 0x80, 0x80, 0x02];
const minAt = 6;

/** The module asks for 16 MiB at once. It needs what it has data in, and asks for the rest as it comes. */
function lowerMemory(bytes: Uint8Array): Uint8Array {
  const lowered = bytes.slice();
  const at = lowered.findIndex((_, start) => memoryImport.every((byte, index) => lowered[start + index] === byte));
  if (at === -1) throw new TypeError("the module of QuickJS imports another memory");
  // In as many bytes as it had, so that nothing moves.
  lowered.set([(quickJsMinPages & 0x7f) | 0x80, quickJsMinPages >> 7], at + minAt);
  return lowered;
}
