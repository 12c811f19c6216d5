import type { Limit, LimitReading, LimitReceipt, PlannedLimit } from "./limits.ts";
import type { Isolation, SecurityProfile } from "./profile.ts";
import type { BackendInfo } from "./runtime.ts";
import type { ArtifactKind, Digest, Tool } from "./tool.ts";

/** How a backend enforces one limit, and between which values (in the limit's unit) it can. */
export interface Enforcement {
  /** The mechanism, as receipts name it: `"cgroup"`, `"rlimit"`, `"module"`. */
  readonly by: string;
  readonly min?: number;
  readonly max?: number;
}

/** What a backend can do with one kind of artifact under some profiles, here and now. */
export interface Capability {
  readonly artifact: ArtifactKind;
  readonly profiles: readonly SecurityProfile[];
  readonly isolation: Isolation;
  readonly limits: { readonly [L in Limit]?: Enforcement };
  /** `"unfiltered"`: the tool has the host's network and nothing can be refused it; the receipt says so. */
  readonly network: "none" | "unfiltered";
  /** Whether two runs with the same {@link Determinism} give the same output. Default `false`. */
  readonly deterministic?: boolean;
}

/** What fixes everything that differs from run to run and from machine to machine. */
export interface Determinism {
  /** What all random bytes come of. */
  readonly seed: string;
  /** What the clocks show at the start, in ms since 1970. */
  readonly nowMs: number;
}

export interface Probe {
  readonly status: "ready" | "unavailable";
  readonly version?: string;
  /** Why it is not ready. */
  readonly reason?: string;
  /** What the operator can do about it. */
  readonly advice?: string;
  readonly capabilities: readonly Capability[];
  /** Facts that a user should know, for example that descendants may escape. */
  readonly notes?: readonly string[];
  /** How long the answer holds, in ms. */
  readonly validForMs: number;
}

/** What negotiation came to. Frozen; pools and caches are keyed by its digest. */
export interface Plan {
  readonly digest: Digest;
  readonly tool: Tool;
  readonly artifact: ArtifactKind;
  readonly profile: SecurityProfile;
  readonly isolation: Isolation;
  readonly limits: readonly PlannedLimit[];
  readonly network: "none" | "unfiltered";
  readonly graceMs: number;
  readonly deterministic?: Determinism;
}

/** The value of a limit that something enforces; `undefined` where the plan has none or nothing enforces it. */
export function enforcedValue(plan: Pick<Plan, "limits">, limit: Limit): number | undefined {
  for (const planned of plan.limits) {
    if (planned.limit === limit) return planned.mechanism === "none" ? undefined : planned.value;
  }
  return undefined;
}

/** One input file. `path` is relative, with `/`, and stays inside the working folder. It can be read as long as the run goes on. */
export interface InputFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Where it is known. */
  readonly digest?: Digest;
  /** Each call reads it anew. */
  stream(): ReadableStream<Uint8Array>;
  /** All of it in memory, for a sandbox that has its files there. Not to be changed. */
  bytes(): Promise<Uint8Array>;
}

/** A file that the tool left. */
export interface OutputFile {
  /** Relative to the tool's `out` folder. */
  readonly path: string;
  /** A stream is read once, to its end, or cancelled. */
  readonly content: Uint8Array | ReadableStream<Uint8Array>;
  /** What it must be, where somebody else has said so. */
  readonly expected?: { readonly digest: string; readonly size: number };
}

/** The runtime's side of one run. */
export interface RunIo {
  readonly id: string;
  readonly stdin: Uint8Array;
  readonly files: readonly InputFile[];
  /** Secrets resolved. Never to be logged or kept. */
  readonly env: Readonly<Record<string, string>>;
  /** Of a backend that delegates: the secrets, by variable, that are to be resolved where the tool runs. They are not in `env`. */
  readonly secretNames?: Readonly<Record<string, string>>;
  /** At most this many files and bytes may come out of the `out` folder. */
  readonly maxOutputFiles: number;
  /**
   * Takes what the tool wrote; the runtime keeps the bytes, so hand over a copy that nobody changes. Where it gives back
   * a promise, the backend reads no more from the sandbox until that is settled. Throws `signal.reason` once the run has
   * been ended: the throw may unwind the guest.
   */
  stdout(bytes: Uint8Array): void | Promise<void>;
  stderr(bytes: Uint8Array): void | Promise<void>;
  /** To be called once, when the tool's own code starts: the `timeout` runs from here. */
  started(): void;
  /**
   * Takes a file of the `out` folder, once the tool has ended; the tool's own time stops with the first. One at a time, and to be awaited:
   * whatever the content is read from must be there until then, and may go afterwards. Nothing is to be handed over of a run that was
   * ended, or that a limit has ended.
   *
   * @throws `ERR_LIMIT_DISK` for more files than may come out, or one that is too large, `ERR_DIGEST_MISMATCH`, and `signal.reason`.
   */
  file(file: OutputFile): Promise<void>;
  /** What is left of the caller's deadline, in ms; nothing where he named none. */
  remainingMs?(): number | undefined;
  /** Whose run it is: who waits inside the backend is served in turn between tenants. */
  readonly tenant?: string;
  /** What the caller was given when he was refused; for a backend that delegates, to whoever gave it. */
  readonly ticket?: string;
  /**
   * Aborted when the run must end: the caller's wish, the deadline, a limit. The reason is the `ToolRuntimeError` that the
   * caller will get. The backend ends everything it started, then settles.
   */
  readonly signal: AbortSignal;
}

/** How the tool itself ended. */
export type Exit =
  | { readonly kind: "exited"; readonly code: number }
  | { readonly kind: "trapped"; readonly trap: string }
  | { readonly kind: "signalled"; readonly signal: string; readonly number: number };

export interface RunReport {
  readonly exit: Exit;
  /** What was read back from the enforcers. */
  readonly readings: readonly LimitReading[];
  /** A limit that ended the run by itself, such as an OOM kill of the main process. */
  readonly limitHit?: { readonly limit: Limit; readonly observed?: number };
  /** Of a backend that delegates: what the runtime there says of the run. */
  readonly delegated?: Delegated;
}

/** What a run elsewhere brought back besides its end; the result shows it as it came. */
export interface Delegated {
  readonly limits: readonly LimitReceipt[];
  /** With `via`. */
  readonly backend: BackendInfo;
  readonly durationMs: number;
}

export interface ReapReport {
  /** What an earlier, killed process had left and was removed: its kind and name. */
  readonly removed: readonly string[];
}

/** One thing that a process left which is gone. */
export interface Leftover {
  readonly kind: "process" | "container" | "cgroup" | "folder";
  /** A process's id, a container's or a cgroup's name, a folder's path. */
  readonly name: string;
  readonly owner: LeftoverOwner;
  /** When it was made, in ms since 1970, where that can be told. */
  readonly madeAtMs?: number;
}

/** The process whose it was. A pid is used again: only with its start and the boot does it name one process. */
export interface LeftoverOwner {
  readonly pid: number;
  /** Clock ticks after boot. */
  readonly startTicks: string;
  /** The first eight digits of the boot's id. */
  readonly boot: string;
  /** In ms since 1970, where it was in this boot. */
  readonly startedAtMs?: number;
}

/**
 * One isolation technology. The runtime calls, in this order: `probe` (once, and again when its answer has run out), then
 * for each task `prepare` (idempotent, may be skipped by the backend when it has the plan's artifact ready) and `run`, any
 * number at once. `leftovers` and `reap` may be called at any time. After `close` nothing else is called.
 *
 * A backend never loosens a plan and never runs a part of it elsewhere. What it needs of the outside (a daemon, a binary)
 * it looks for in `probe`, and says there what is missing instead of throwing.
 */
export interface Backend {
  readonly name: string;
  /**
   * Whether it sends plans to a runtime elsewhere, whose capabilities are those that its probe declares. That one holds the
   * limits, measures, and resolves secrets; the clocks here only wait for it. An error that `run` throws may bring receipts
   * in `partial`. Default `false`.
   */
  readonly delegates?: boolean;
  /**
   * How many runs it takes at once, where more would wait inside it: the runtime has them wait in its queue. It may change, and is asked
   * for often; a backend that may have one has one from the start.
   */
  readonly capacity?: number;
  probe(signal?: AbortSignal): Promise<Probe>;
  /**
   * Gets the artifact ready: compile, pull, unpack. May run code of toolruntime but none of the tool's.
   *
   * @throws `ERR_ARTIFACT_INVALID`, `ERR_IMPORT_DENIED`, `ERR_DIGEST_MISMATCH`, `ERR_ARTIFACT_TOO_LARGE`.
   */
  prepare(plan: Plan, signal: AbortSignal): Promise<void> | void;
  /**
   * Runs the tool once. Settles only when everything that it started is gone. After `io.signal` was aborted it still
   * settles, with a report whose readings are used, or by throwing; it never leaves the run going.
   */
  run(plan: Plan, io: RunIo): Promise<RunReport>;
  /**
   * What processes that are gone have left, and `reap` would remove; it changes nothing. What belongs to a process that lives, or that
   * cannot be judged from here (another PID namespace), is not among it. Throws where it cannot be found out, such as
   * `ERR_BACKEND_UNAVAILABLE` without a daemon.
   */
  leftovers(): Promise<readonly Leftover[]>;
  /**
   * Ends and removes that. Several processes may do so at once: what another one has removed meanwhile is no error. Where one thing
   * cannot be removed the rest is all the same, and then it throws.
   */
  reap(): Promise<ReapReport>;
  close(): Promise<void>;
}
