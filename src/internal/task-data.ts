import type { Plan } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import { profiles, type SecurityProfile } from "../profile.ts";
import type { Task } from "../runtime.ts";
import type { Tool } from "../tool.ts";
import { encodeJson, parseJson } from "./json.ts";

const encoder = new TextEncoder();
const emptyInput = encoder.encode("{}");

export interface InputRules {
  readonly profile: SecurityProfile;
  readonly maxInputBytes: number;
}

/**
 * The task's input as the tool gets it: JSON text that fits the tool's schema.
 *
 * @throws `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE`.
 */
export function encodeInput(task: Task, tool: Tool, { profile, maxInputBytes }: InputRules): Uint8Array {
  const { name } = tool.manifest;
  const input = task.input === undefined ? {} : task.input;
  const encoded = encodeJson(input, profiles[profile]);
  // What is checked is what the tool reads, not the value that the text was made of.
  const problem = "problem" in encoded ? encoded.problem : tool.checkInput(JSON.parse(encoded.text));
  if ("problem" in encoded || problem !== undefined) {
    throw new ToolRuntimeError("ERR_INPUT_INVALID", `Cannot give the input to the tool "${name}": ${problem}`, {
      details: { tool: name, problem },
    });
  }
  if (task.input === undefined) return emptyInput;
  const bytes = encoder.encode(encoded.text);
  if (bytes.length <= maxInputBytes) return bytes;
  throw new ToolRuntimeError(
    "ERR_INPUT_TOO_LARGE",
    `Cannot give the input to the tool "${name}": it is ${bytes.length} bytes, the most is ${maxInputBytes}`,
    {
      details: { tool: name, size: bytes.length, maxInputBytes },
    },
  );
}

/**
 * What the tool answered: JSON where it declares an output schema, text otherwise.
 *
 * @throws `ERR_OUTPUT_INVALID`.
 */
export function readOutput({ tool: { checkOutput, manifest }, profile }: Plan, text: string): unknown {
  if (checkOutput === undefined) return text;
  const parsed = parseJson(text, { refusesPrototypeKeys: profiles[profile].refusesPrototypeKeys });
  const problem = "problem" in parsed ? parsed.problem : checkOutput(parsed.value);
  if (problem === undefined && "value" in parsed) return parsed.value;
  throw new ToolRuntimeError("ERR_OUTPUT_INVALID", `Cannot take the output of the tool "${manifest.name}": ${problem}`, {
    started: true,
    details: { tool: manifest.name, problem },
  });
}
