import { canonicalJson } from "../internal/json.ts";
import { boundaryOf, readMultipart } from "../internal/multipart.ts";
import type { FileInput } from "../runtime.ts";
import { collectBytes } from "../store.ts";
import { cappedBody, invalid, parseBytes } from "./body.ts";
import type { Settings } from "./options.ts";
import type { AppContext } from "./scope.ts";
import { tooManyFiles } from "./task.ts";

export interface Upload {
  readonly request: unknown;
  readonly files: Readonly<Record<string, FileInput>>;
  /** The same for the same task and files, whatever the boundary. */
  readonly content: string;
}

/** The part that holds the request as JSON; each other one is a file, its path as its name. */
const taskPart = "task";

/**
 * Reads a multipart request. Files go into the store as they come.
 *
 * @throws `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE`.
 */
export async function readUpload(c: AppContext, tenant: string, settings: Settings): Promise<Upload> {
  const { blobs, executions, limits } = settings;
  const boundary = boundaryOf(c.req.header("content-type") ?? "");
  const body = cappedBody(c, limits.maxUploadBytes);
  const files: Record<string, { readonly digest: string }> = Object.create(null);
  let task: { readonly value: unknown } | undefined;
  let count = 0;
  for await (const part of readMultipart(body, boundary, { maxParts: limits.maxFiles + 1, maxHeaderBytes: 8192 })) {
    if (part.name === taskPart) {
      if (task !== undefined) throw invalid("the request", 'the part "task" is there twice');
      task = parseBytes(await collectBytes(part.content, limits.maxJsonBytes), settings);
      continue;
    }
    if (part.name in files) throw invalid("the request", `the file "${part.name.slice(0, 100)}" is there twice`);
    if (++count > limits.maxFiles) throw tooManyFiles(limits.maxFiles);
    const { digest } = await blobs.put(part.content);
    files[part.name] = { digest };
  }
  if (task === undefined) throw invalid("the request", 'it has no part "task"');
  // Only at the end of the body is it known to be the caller's.
  for (const { digest } of Object.values(files)) await executions.grantBlob(tenant, digest);
  return { request: task.value, files, content: canonicalJson({ task: task.value, files }) };
}
