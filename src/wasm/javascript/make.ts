import { ToolRuntimeError } from "../../errors.ts";
import type { Tool } from "../../tool.ts";
import type { Making } from "../ingest.ts";
import type { MadeParts } from "../made.ts";
import type { JavaScriptEngine } from "./engine.ts";

/** By this name an artifact has the module of QuickJS. */
export const quickJsModule = "main";

/**
 * How a module's exports are told from anything else: QuickJS has to be told which of the two goals of the language a text is
 * written for, and its own guess looks at the first word alone.
 */
const exportStatement = /(?:^|[;}\s])export\s*(?:default\b|[{*]|(?:const|let|var|function|class|async)\b)/m;

export interface SnippetParts {
  readonly tool: Tool;
  readonly engine: JavaScriptEngine | undefined;
}

/**
 * Makes a snippet of JavaScript: its text, and QuickJS to run it in. The text is not parsed before a run: whatever reads it
 * takes time and memory, which are the run's.
 *
 * @throws `ERR_ARTIFACT_INVALID` for what is no text, `ERR_BACKEND_UNAVAILABLE` without QuickJS.
 */
export async function makeSnippet(bytes: Uint8Array, making: Making, { tool, engine }: SnippetParts): Promise<MadeParts> {
  const { name, artifacts, outputSchema } = tool.manifest;
  if (engine === undefined) {
    throw new ToolRuntimeError(
      "ERR_BACKEND_UNAVAILABLE",
      `Cannot run the JavaScript of the tool "${name}" on backend "wasm": there is no QuickJS here; give the backend one with the option "javascript"`,
      { details: { tool: name } },
    );
  }
  const source = decode(bytes, name);
  const file = artifacts.code?.file?.split("/").at(-1) ?? `${name}.js`;
  return {
    facts: { source, file, isModule: exportStatement.test(source), isJson: outputSchema !== undefined },
    modules: { [quickJsModule]: await engine.metered(making) },
  };
}

function decode(bytes: Uint8Array, tool: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new ToolRuntimeError("ERR_ARTIFACT_INVALID", `Cannot take the JavaScript of the tool "${tool}": it is no UTF-8 text`, {
      details: { tool },
      cause: error,
    });
  }
}
