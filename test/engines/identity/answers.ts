import { createHash } from "node:crypto";
import type { Case } from "./drafts.ts";

/** What came back for one case: the status, and the body as indented JSON without what goes by the clock. */
export interface Answer {
  readonly name: string;
  readonly lines: readonly string[];
}

/** Different for each request. */
const ids: ReadonlySet<string> = new Set(["id", "requestId"]);
/** Codes of runs that the real clock ended: how far they had come differs. */
const timed = /ERR_LIMIT_TIMEOUT|ERR_LIMIT_CPU_TIME|ERR_DEADLINE/;

type Members = Readonly<Record<string, unknown>>;

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isMeasured({ limit }: Members, isTimed: boolean): boolean {
  return limit === "timeout" || limit === "cpuTime" || (isTimed && limit === "fuel");
}

/** Leaves out ids, durations, and peaks of time; of a run that the clock ended also its fuel. */
function withoutTimes(value: unknown, isTimed: boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutTimes(item, isTimed));
  if (!isMembers(value)) return value;
  const kept = Object.entries(value).filter(
    ([key]) =>
      !ids.has(key) &&
      key !== "duration" &&
      !(key === "peak" && isMeasured(value, isTimed)) &&
      !(isTimed && (key === "observed" || key === "detail")),
  );
  return Object.fromEntries(kept.map(([key, item]) => [key, withoutTimes(item, isTimed)]));
}

/** The digests of files that a result hands out. */
function digestsIn(values: readonly unknown[]): string[] {
  return values.flatMap((value) => {
    const result = isMembers(value) && isMembers(value["result"]) ? value["result"] : value;
    const files: unknown = isMembers(result) ? result["files"] : undefined;
    if (!Array.isArray(files)) return [];
    return files.flatMap((file: unknown) => (isMembers(file) ? [String(file["digest"])] : []));
  });
}

async function readBlob(url: string, digest: string): Promise<string> {
  const response = await fetch(`${url}/v1/blobs/${digest}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  return `blob ${response.status} ${bytes.length} bytes sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

async function ask(url: string, { name, body, streams }: Case): Promise<Answer> {
  const response = await fetch(`${url}/v1/executions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(streams ? { accept: "application/x-ndjson" } : {}) },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  const isStream = response.headers.get("content-type")?.startsWith("application/x-ndjson") === true;
  const values: unknown[] = (isStream ? text.trimEnd().split("\n") : [text]).map((line) => JSON.parse(line));
  const said = values.filter((value) => !isMembers(value) || value["type"] !== "heartbeat");
  const isTimed = timed.test(text);
  const shown = said.map((value) => JSON.stringify(withoutTimes(value, isTimed), undefined, 1));
  const blobs: string[] = [];
  for (const digest of digestsIn(values)) blobs.push(await readBlob(url, digest));
  const head = `${response.status} ${response.headers.get("content-type")}`;
  return { name, lines: [head, ...shown.flatMap((json) => json.split("\n")), ...blobs] };
}

/** Asks one after the other: what a case finds in caches and stores is then the same everywhere. */
export async function askAll(url: string, cases: readonly Case[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const one of cases) answers.push(await ask(url, one));
  return answers;
}

const mostLines = 12;

function short(line: string): string {
  return line.length > 200 ? `${line.slice(0, 200)}… (${line.length} characters)` : line;
}

/** What sets answers apart, for people: each case with its lines, `-` as it should be, `+` as it is. */
export function differences(expected: readonly Answer[], actual: readonly Answer[]): string[] {
  const found = expected.length === actual.length ? [] : [`${actual.length} answers in place of ${expected.length}`];
  for (const [index, { name, lines }] of expected.entries()) {
    const others = actual[index]?.lines ?? [];
    const marked: string[] = [];
    for (let at = 0; at < Math.max(lines.length, others.length); at++) {
      const [line, other] = [lines[at], others[at]];
      if (line === other) continue;
      if (line !== undefined) marked.push(`  - ${short(line)}`);
      if (other !== undefined) marked.push(`  + ${short(other)}`);
    }
    if (marked.length > 0) found.push([name, ...marked.slice(0, mostLines), ...(marked.length > mostLines ? ["  …"] : [])].join("\n"));
  }
  return found;
}
