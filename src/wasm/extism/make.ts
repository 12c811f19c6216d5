import { ToolRuntimeError } from "../../errors.ts";
import { ingestModule, type Making } from "../ingest.ts";
import type { MadeParts } from "../made.ts";
import type { Import, MeteredModule } from "../meter/index.ts";
import type { FunctionType } from "../types.ts";
import { mainModule } from "../wasi-command.ts";
import { assertWasiTypes, isWasiImport, wasiNamespace } from "../wasi-types.ts";
import { extismNamespace, hostFunctionType, isHostFunction } from "./host-functions.ts";

/** An entry point's result says by another number than 0 that it failed. */
const entryTypes: ReadonlySet<FunctionType> = new Set(["->", "-> i32", "-> i64"]);

/**
 * Makes an Extism plug-in. It gets no configuration and no network.
 *
 * @throws `ERR_ARTIFACT_INVALID`, `ERR_IMPORT_DENIED`, `ERR_LIMIT_COMPILE`.
 */
export async function makeExtism(bytes: Uint8Array, making: Making, { entry }: { readonly entry: string }): Promise<MadeParts> {
  const { tool } = making;
  const ingested = await ingestModule(bytes, making, { allows, memory: "import", start: "export" });
  const { imports, memory = null } = ingested;
  assertWasiTypes(imports, tool);
  assertHostTypes(imports, tool);
  if (!entryTypes.has(ingested.functions.get(entry) ?? "")) throw noEntry(ingested, tool, entry);
  const named = (wanted: string): string[] => [...new Set(imports.flatMap(({ namespace, name }) => (namespace === wanted ? [name] : [])))];
  return {
    facts: { entry, memory, host: named(extismNamespace), wasi: named(wasiNamespace) },
    modules: { [mainModule]: ingested.bytes },
  };
}

function noEntry({ functions }: MeteredModule, tool: string, entry: string): ToolRuntimeError {
  const exported = [...functions].slice(0, 20).map(([name, type]) => `${JSON.stringify(name)} (${type})`);
  return new ToolRuntimeError(
    "ERR_ARTIFACT_INVALID",
    `Cannot take the WebAssembly module of the tool "${tool}" as an Extism plug-in: it has no function ${JSON.stringify(entry)} without parameters that returns at most a number; it exports ${exported.join(", ") || "no function"}`,
    { details: { tool, entry } },
  );
}

/** @throws `ERR_IMPORT_DENIED` for a host function that is imported as another type. */
function assertHostTypes(imports: readonly Import[], tool: string): void {
  for (const { namespace, name, type } of imports) {
    if (namespace !== extismNamespace || !isHostFunction(name) || type === hostFunctionType(name)) continue;
    throw new ToolRuntimeError(
      "ERR_IMPORT_DENIED",
      `Cannot take the WebAssembly module of the tool "${tool}": it imports "${name}" from "${namespace}" as "${type}", which there is "${hostFunctionType(name)}"`,
      { details: { tool, namespace, name, kind: "function", type } },
    );
  }
}

/** Whether a plug-in may import this. Names come from tables without prototype, so `__proto__` and its like are in none. */
function allows(one: Import): boolean {
  if (one.kind !== "function") return false;
  return one.namespace === extismNamespace ? isHostFunction(one.name) : isWasiImport(one);
}
