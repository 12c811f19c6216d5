import type { SecurityProfile } from "../profile.ts";
import { sha256, type Digest } from "./digest.ts";

/** Whose execution it is, and of what. */
export interface AuditSubject {
  readonly executionId: string;
  readonly tenant: string;
  readonly principal: string;
  readonly tool: { readonly name: string; readonly version: string; readonly digest: Digest };
}

/** One thing that happened to an execution. Never input, output, environment or a secret. */
export interface AuditEvent {
  readonly event: "accepted" | "started" | "ended";
  readonly profile: SecurityProfile;
  /** What the task asked for, as it wrote it. */
  readonly requested?: Readonly<Record<string, number | string>>;
  readonly backend?: string;
  /** What the receipts say. */
  readonly limits?: readonly {
    readonly limit: string;
    readonly requested: number;
    readonly applied?: number;
    readonly enforcedBy: string;
    readonly hit: string;
  }[];
  /** `OK`, or the error's code. */
  readonly outcome?: string;
  readonly exitCode?: number;
  readonly durationMs?: number;
  readonly outputBytes?: number;
}

/** One thing that happened to the service itself. */
export interface AuditServiceEvent {
  /** A backend removed what an earlier process had left. */
  readonly event: "reaped";
  readonly backend: string;
  /** The first of what was removed. */
  readonly removed: readonly string[];
  readonly count: number;
}

/** A record of the log; `docs/audit.md` is its specification. */
export interface AuditRecord extends AuditSubject, AuditEvent {
  readonly v: 1;
  readonly seq: number;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly prev: Digest;
  readonly hash: Digest;
}

/** Takes each line, without a line end, in order. What it throws is not caught: an audit log that fails is not hidden. */
export type AuditSink = (line: string) => void;

export interface AuditLogOptions {
  readonly sinks?: readonly AuditSink[];
  /** Lines kept in memory. Default 1000. */
  readonly maxLines?: number;
  /** Default: WebCrypto's, which is asynchronous; one that is not spares the queue. */
  readonly hash?: (text: string) => Digest | Promise<Digest>;
  /** The last line of the log that this one goes on with. */
  readonly last?: string;
}

export interface AuditLog {
  /** Opens the trail of one execution; the function appends to it. */
  open(subject: AuditSubject): (event: AuditEvent) => void;
  /** Appends what concerns no execution. */
  note(event: AuditServiceEvent): void;
  /** The newest lines that are kept in memory, oldest first. */
  lines(): readonly string[];
  /** Settles when all that was appended is in the sinks. */
  flush(): Promise<void>;
}

interface Pending {
  readonly time: string;
  /** The members of the subject as JSON text, with a comma after them: the same for each record of an execution. */
  readonly subject: string;
  readonly event: AuditEvent | AuditServiceEvent;
}

const genesis: Digest = `sha256:${"0".repeat(64)}`;
const tailStart = ',"hash":"';
const tailLength = `${tailStart}${genesis}"}`.length;

/** The time as RFC 3339 has it; records of one millisecond share the text. */
function textClock(): () => string {
  let at = Number.NaN;
  let text = "";
  return () => {
    const now = Date.now();
    if (now !== at) text = new Date((at = now)).toISOString();
    return text;
  };
}

/** Splits a line into what its hash is over and the hash; nothing where it has no such end. */
function splitLine(line: string): { readonly body: string; readonly hash: string } | undefined {
  const cut = line.length - tailLength;
  if (cut <= 0 || !line.startsWith(tailStart, cut) || !line.endsWith('"}')) return undefined;
  return { body: `${line.slice(0, cut)}}`, hash: line.slice(cut + tailStart.length, -2) };
}

/**
 * An append-only log in which each line carries the hash of the one before, so that a line that was changed, taken out
 * or put in shows.
 */
export function createAuditLog(options: AuditLogOptions = {}): AuditLog {
  const { sinks = [], maxLines = 1000, hash = sha256 } = options;
  const kept: string[] = [];
  const waiting: Pending[] = [];
  const clock = textClock();
  let { seq, prev } = headOf(options.last);
  let writing: Promise<void> | undefined;

  const bodyOf = ({ time, subject, event }: Pending): string =>
    `{"v":1,"seq":${seq},"time":"${time}","prev":"${prev}",${subject}${JSON.stringify(event).slice(1)}`;

  const commit = (body: string, digest: Digest): void => {
    const line = `${body.slice(0, -1)}${tailStart}${digest}"}`;
    seq++;
    prev = digest;
    kept.push(line);
    // Cut in blocks: taking one line off the front for each new one would move all of them each time.
    if (kept.length >= maxLines * 2) kept.splice(0, kept.length - maxLines);
    for (const sink of sinks) sink(line);
  };

  const writeWaiting = async (first: string, digest: Promise<Digest>): Promise<void> => {
    commit(first, await digest);
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const body = bodyOf(next);
      commit(body, await hash(body));
    }
    writing = undefined;
  };

  const append = (pending: Pending): void => {
    if (writing !== undefined) {
      waiting.push(pending);
      return;
    }
    const body = bodyOf(pending);
    const digest = hash(body);
    if (typeof digest === "string") commit(body, digest);
    else writing = writeWaiting(body, digest);
  };

  return {
    open(about) {
      const subject = `${JSON.stringify(about).slice(1, -1)},`;
      return (event) => append({ time: clock(), subject, event });
    },
    note: (event) => append({ time: clock(), subject: "", event }),
    lines: () => kept.slice(-maxLines),
    // The writer goes on until nothing waits.
    flush: () => writing ?? Promise.resolve(),
  };
}

function headOf(last: string | undefined): { seq: number; prev: Digest } {
  if (last === undefined) return { seq: 0, prev: genesis };
  const record = JSON.parse(last) as AuditRecord;
  return { seq: record.seq + 1, prev: record.hash };
}

export type AuditVerdict =
  | { readonly ok: true; readonly records: number; readonly head: string }
  | { readonly ok: false; readonly records: number; readonly line: number; readonly problem: string };

/**
 * Checks a log from its first line, or a part of one: the first line's `prev` is then taken as given. What it cannot see
 * is that lines are missing at the end; compare `head` with one that was noted elsewhere.
 */
export async function verifyAudit(lines: Iterable<string> | AsyncIterable<string>): Promise<AuditVerdict> {
  let records = 0;
  let head: string = genesis;
  let seq: number | undefined;
  for await (const line of lines) {
    const fail = (problem: string): AuditVerdict => ({ ok: false, records, line: records + 1, problem });
    const parts = splitLine(line);
    if (parts === undefined) return fail("it is no audit record");
    let record: AuditRecord;
    try {
      record = JSON.parse(line) as AuditRecord;
    } catch {
      return fail("it is not JSON");
    }
    if (records > 0 && record.prev !== head) return fail("it does not follow the line before");
    if (seq !== undefined && record.seq !== seq + 1) return fail("its seq does not follow the line before");
    if (record.seq === 0 && record.prev !== genesis) return fail("it is the first record and names one before it");
    if ((await sha256(parts.body)) !== parts.hash) return fail("its content does not match its hash");
    records++;
    head = parts.hash;
    seq = record.seq;
  }
  return { ok: true, records, head };
}
