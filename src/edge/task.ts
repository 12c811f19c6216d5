import { ToolRuntimeError } from "../errors.ts";
import { decodeBase64 } from "../internal/base64.ts";
import { formatProblems, inEnglish, problemsOf } from "../internal/zod-problem.ts";
import { stricter } from "../profile.ts";
import type { FileInput, Task } from "../runtime.ts";
import { parseToolRef, type Tool } from "../tool.ts";
import { executionRequestSchema, type ExecutionRequest } from "../wire.ts";
import { invalid } from "./body.ts";
import type { Settings } from "./options.ts";

const encoder = new TextEncoder();

/** @throws `ERR_INPUT_INVALID` with every problem and, for an unknown key, the nearest known one. */
export function parseRequest(value: unknown): ExecutionRequest {
  const parsed = executionRequestSchema.safeParse(value, inEnglish);
  if (!parsed.success) {
    throw invalid("the request", formatProblems(problemsOf(executionRequestSchema, parsed.error)));
  }
  // The schema leaves out a key that would set a prototype; what somebody asked for must not vanish in silence.
  for (const key of ["files", "env"] as const) {
    const given: unknown = Object.getOwnPropertyDescriptor(value, key)?.value;
    if (typeof given === "object" && given !== null && Object.hasOwn(given, "__proto__")) {
      throw invalid("the request", `/${key}: the key "__proto__"`);
    }
  }
  return parsed.data;
}

type WireFile = NonNullable<ExecutionRequest["files"]>[string];

function bytesOf(path: string, file: WireFile): Uint8Array | undefined {
  if (file.text !== undefined) return encoder.encode(file.text);
  if (file.base64 === undefined) return undefined;
  const bytes = decodeBase64(file.base64);
  if (bytes === undefined) throw invalid("the request", `/files/${path.slice(0, 100)}/base64: must be base64 as RFC 4648 §4 has it`);
  return bytes;
}

export function tooManyFiles(maxFiles: number): ToolRuntimeError {
  return new ToolRuntimeError("ERR_INPUT_TOO_LARGE", `Cannot take the files: there are more than ${maxFiles}`, { details: { maxFiles } });
}

/** @throws `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE`. */
function inlineFiles(files: NonNullable<ExecutionRequest["files"]>, { limits }: Settings): Record<string, FileInput> {
  const inputs: Record<string, FileInput> = Object.create(null);
  const entries = Object.entries(files);
  if (entries.length > limits.maxFiles) throw tooManyFiles(limits.maxFiles);
  let room = limits.maxInlineFileBytes;
  for (const [path, file] of entries) {
    const bytes = bytesOf(path, file);
    if (bytes !== undefined) room -= bytes.length;
    if (room < 0) {
      throw new ToolRuntimeError(
        "ERR_INPUT_TOO_LARGE",
        `Cannot take the files: those inside of JSON are over ${limits.maxInlineFileBytes} bytes together; send them as multipart/form-data`,
        { details: { maxInlineFileBytes: limits.maxInlineFileBytes } },
      );
    }
    inputs[path] = bytes ?? { digest: file.digest ?? "" };
  }
  return inputs;
}

/** A file by digest is one that the tenant has had in hand; of others it is not even said that they are here. */
async function assertReadable(files: Readonly<Record<string, FileInput>>, tenant: string, { executions }: Settings): Promise<void> {
  for (const [path, file] of Object.entries(files)) {
    if (typeof file !== "object" || !("digest" in file) || (await executions.mayReadBlob(tenant, file.digest))) continue;
    throw new ToolRuntimeError(
      "ERR_BLOB_NOT_FOUND",
      `Cannot give the tool the file "${path}": there is no blob "${file.digest}"; send its bytes`,
      {
        details: { path, digest: file.digest },
      },
    );
  }
}

/**
 * Makes a task of a request.
 *
 * @throws `ERR_TOOL_NOT_FOUND`, `ERR_POLICY_DENIED`, `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE`, `ERR_BLOB_NOT_FOUND`.
 */
export async function taskOf(
  request: ExecutionRequest,
  tenant: string,
  settings: Settings,
  uploads?: Readonly<Record<string, FileInput>>,
): Promise<{ readonly task: Task; readonly tool: Tool }> {
  const ref = parseToolRef(request.tool);
  const tool = settings.tools.get(ref);
  if (tool === undefined) throw settings.tools.missing(ref);
  const { input, env, resources, security, bestEffort, atMost, deterministic } = request;
  if (security !== undefined && stricter(security, settings.security) !== security) {
    throw new ToolRuntimeError(
      "ERR_POLICY_DENIED",
      `Cannot run the task in profile "${security}": this service runs "${settings.security}" and stricter`,
      { details: { security, service: settings.security } },
    );
  }
  let files = request.files === undefined ? uploads : inlineFiles(request.files, settings);
  if (files !== undefined) {
    if (request.files !== undefined && uploads !== undefined) files = joinFiles(files, uploads);
    await assertReadable(files, tenant, settings);
  }
  const task: Task = {
    tool,
    ...(input === undefined ? {} : { input }),
    ...(files === undefined ? {} : { files }),
    ...(env === undefined ? {} : { env }),
    ...(resources === undefined ? {} : { resources }),
    ...(security === undefined ? {} : { security }),
    ...(bestEffort === undefined ? {} : { bestEffort }),
    ...(atMost === undefined ? {} : { atMost }),
    ...(deterministic === undefined ? {} : { deterministic }),
  };
  return { task, tool };
}

function joinFiles(inline: Readonly<Record<string, FileInput>>, uploads: Readonly<Record<string, FileInput>>): Record<string, FileInput> {
  for (const path of Object.keys(uploads)) {
    if (Object.hasOwn(inline, path)) throw invalid("the request", `the file "${path.slice(0, 100)}" is there twice`);
  }
  return Object.assign(Object.create(null), inline, uploads);
}
