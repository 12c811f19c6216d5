import { mediaTypes } from "../../wire.ts";
import { encodeBase64 } from "../base64.ts";

/** A file whose bytes go with the request. */
export interface SentFile {
  readonly path: string;
  readonly bytes: Uint8Array | Blob;
}

export interface TaskParts {
  /** The request's members but `input` and the files in `files`. */
  readonly members: { readonly tool: string; readonly files?: Readonly<Record<string, { readonly digest: string }>> };
  /** The input as JSON text; it goes as it is. */
  readonly inputJson: string | undefined;
  readonly files: readonly SentFile[];
}

export interface TaskBody {
  readonly body: string | FormData;
  /** A form has its own, with the boundary. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What a service takes of files inside of JSON, decoded, unless its operator says otherwise. */
const maxInlineBytes = 2 ** 20;
/** The part of a form that holds the request. */
const taskPart = "task";

/** Whether a form can name a file so: quotes and line ends are escaped there with `%`, which is not escaped itself. */
export function fitsForm(path: string): boolean {
  return path !== taskPart && !/["%\r\n]/.test(path) && path.isWellFormed();
}

function sizeOf({ bytes }: SentFile): number {
  return bytes instanceof Uint8Array ? bytes.length : bytes.size;
}

/** The body of `POST /v1/executions`: JSON with small files in it, or a form. Each path must fit a form. */
export async function taskBody({ members, inputJson, files }: TaskParts): Promise<TaskBody> {
  const total = files.reduce((sum, file) => sum + sizeOf(file), 0);
  if (total > maxInlineBytes) {
    const form = new FormData();
    form.append(taskPart, requestJson(members, inputJson));
    for (const { path, bytes } of files) {
      form.append(path, bytes instanceof Uint8Array ? new Blob([bytes as Uint8Array<ArrayBuffer>]) : bytes, "file");
    }
    return { body: form, headers: {} };
  }
  const inline: Record<string, object> = Object.create(null);
  for (const { path, bytes } of files) {
    inline[path] = { base64: encodeBase64(bytes instanceof Uint8Array ? bytes : new Uint8Array(await bytes.arrayBuffer())) };
  }
  const all = files.length === 0 ? members : { ...members, files: Object.assign(Object.create(null), members.files, inline) };
  return { body: requestJson(all, inputJson), headers: { "content-type": mediaTypes.json } };
}

function requestJson(members: object, inputJson: string | undefined): string {
  const json = JSON.stringify(members);
  return inputJson === undefined ? json : `${json.slice(0, -1)},"input":${inputJson}}`;
}
