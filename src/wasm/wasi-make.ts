import { ToolRuntimeError } from "../errors.ts";
import { ingestModule, type Making } from "./ingest.ts";
import type { MadeParts } from "./made.ts";
import { mainModule } from "./wasi-command.ts";
import { assertWasiTypes, isWasiImport } from "./wasi-types.ts";

/**
 * Makes a WASI preview 1 command: a module that exports `_start` and `memory`.
 *
 * @throws `ERR_ARTIFACT_INVALID`, `ERR_IMPORT_DENIED`, `ERR_LIMIT_COMPILE`.
 */
export async function makeWasiCommand(bytes: Uint8Array, making: Making): Promise<MadeParts> {
  const { tool } = making;
  const ingested = await ingestModule(bytes, making, {
    allows: isWasiImport,
    memory: "import",
    start: "export",
  });
  assertWasiTypes(ingested.imports, tool);
  const hasEntry = ingested.functions.get("_start") === "->";
  if (!hasEntry || ingested.memory === undefined) {
    const missing = hasEntry ? "no memory of its own" : 'no function "_start" without parameters and results';
    throw new ToolRuntimeError(
      "ERR_ARTIFACT_INVALID",
      `Cannot take the WebAssembly module of the tool "${tool}" as a WASI command: it has ${missing}`,
      { details: { tool } },
    );
  }
  const { imports, memory, hasStart } = ingested;
  return {
    facts: { functions: [...new Set(imports.map(({ name }) => name))], memory, hasStart },
    modules: { [mainModule]: ingested.bytes },
  };
}
