import type { Backend, Exit, Probe } from "./backend.ts";
import { BackendRuntime } from "./internal/backend-runtime.ts";
import type { Digest } from "./internal/digest.ts";
import type { Concurrency, Load } from "./internal/gate.ts";
import type { CallerName } from "./internal/returns.ts";
import type { Limit, LimitReceipt, PlannedLimit, Quantity, Resources } from "./limits.ts";
import type { Isolation, SecurityProfile } from "./profile.ts";
import type { Registry } from "./registry.ts";
import type { BlobStore } from "./store.ts";
import type { ArtifactKind, Tool, ToolRef } from "./tool.ts";

export type { Concurrency, TenantQuota } from "./internal/gate.ts";
export type { CallerName } from "./internal/returns.ts";

/** One file for the tool: bytes, text, a blob, a stream, or the digest of a blob in the runtime's store. */
export type FileInput = Uint8Array | string | Blob | ReadableStream<Uint8Array> | { readonly digest: string };

/** One call of a tool. */
export interface Task {
  readonly tool: Tool | ToolRef;
  /** JSON; given to the tool as text on stdin. Default `{}`. */
  readonly input?: unknown;
  /** By path, relative to the tool's working folder. */
  readonly files?: Readonly<Record<string, FileInput>>;
  readonly env?: Readonly<Record<string, string | { readonly secret: string }>>;
  readonly resources?: Resources;
  /** A floor: the stricter of this and the runtime's profile holds. */
  readonly security?: SecurityProfile;
  /** Limits that may go unenforced where the profile does not demand them; the receipt then says `"none"`. */
  readonly bestEffort?: readonly Limit[];
  /** Limits in `resources` that are ceilings: the lower of them and what would hold without them holds, and none is refused for being high. */
  readonly atMost?: readonly Limit[];
  /**
   * Fixes clocks, random and scheduling: two runs with the same values give the same output and take the same fuel, byte for
   * byte, on every machine. `seed`: any text or whole number; a number stands for its decimal digits. `now`: what the clocks
   * show at the start, ms since 1970 or an RFC 3339 time. `timeout`, `deadline` and `cpuTime` go by the real clock.
   */
  readonly deterministic?: { readonly seed: number | string; readonly now: number | string };
}

/** How one call is made. */
export interface Call {
  /** Default: a random one. */
  readonly id?: string;
  /** From now, queue and start-up included: ms, or `"30s"`. */
  readonly deadline?: Quantity;
  readonly signal?: AbortSignal;
  /** Whose call it is. Places are handed out in turn between tenants. */
  readonly tenant?: string;
  /** From `details.ticket` of the `ERR_QUEUE_FULL` that said when to come again: a place is kept for it. */
  readonly ticket?: string;
  /** By which a caller without a ticket is known when it comes again. */
  readonly caller?: CallerName;
  /** Called when the call has a place or waits for one: it is not refused for want of room any more. */
  readonly onAdmitted?: () => void;
  /** Called when the run has its place, before its tool can start; the tool starts once what it gives back has settled. */
  readonly beforeStart?: () => void | Promise<void>;
  /** Called in order. The sandbox is not read further until what it gives back has settled. */
  readonly onEvent?: (event: ExecutionEvent) => void | Promise<void>;
}

export type ExecutionEvent =
  | { readonly type: "started"; readonly seq: number }
  | { readonly type: "stdout" | "stderr"; readonly seq: number; readonly bytes: Uint8Array };

export interface ResultFile {
  /** Relative to the tool's `out` folder. */
  readonly path: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface BackendInfo {
  readonly name: string;
  readonly version?: string;
  readonly artifact: ArtifactKind;
  readonly profile: SecurityProfile;
  readonly isolation: Isolation;
  /** `"unfiltered"`: the tool had the host's network. */
  readonly network: "none" | "unfiltered";
  /** The node that ran it, where a backend that delegates sent it on. */
  readonly via?: string;
}

/** What a tool that ended by itself has to show, whatever its exit code. */
export interface Result {
  readonly id: string;
  /** stdout, read as JSON where the tool declares an output schema, as text otherwise; `null` where it failed. */
  readonly output: unknown;
  /** As a shell shows it: 134 for a trap, 128 + n for a signal. */
  readonly exitCode: number;
  readonly exit: Exit;
  readonly stdout: string;
  readonly stderr: string;
  /** Whether there was more than the capture size. */
  readonly truncated: { readonly stdout: boolean; readonly stderr: boolean };
  /** Whether bytes that are no UTF-8 stand as U+FFFD; events carry the bytes as they were. */
  readonly replaced: { readonly stdout: boolean; readonly stderr: boolean };
  /** From the tool's start to its end, in ms. */
  readonly duration: number;
  readonly limits: readonly LimitReceipt[];
  readonly backend: BackendInfo;
  readonly files: readonly ResultFile[];
}

/** Runs tools. A backend under one profile is one, and so is a router over several. */
export interface Runtime extends AsyncDisposable {
  readonly backend: string;
  readonly security: SecurityProfile;
  /**
   * Runs one tool once.
   *
   * @throws ToolRuntimeError for everything but a tool that ended by itself: `ERR_INPUT_INVALID`, `ERR_TOOL_NOT_FOUND`,
   * `ERR_LIMIT_…`, `ERR_PROFILE_UNSUPPORTED`, `ERR_DEADLINE`, `ERR_ABORTED` and the others of docs/errors.md. When it
   * rejects after the start, everything of the run is gone.
   */
  execute(task: Task, call?: Call): Promise<Result>;
  /** Says how a task would be run, or why not, without running it. */
  explain(task: Task): Promise<Explanation[]>;
  /** The backends behind it with their probes. */
  probe(): Promise<BackendProbe[]>;
  /** How full its backends are. Asks nobody. */
  load(): readonly BackendLoad[];
  /** Ends what runs with `ERR_CLOSED` and waits for it. */
  close(): Promise<void>;
}

export interface BackendLoad extends Load {
  readonly backend: string;
}

export interface BackendProbe extends Probe {
  readonly backend: string;
  readonly security: SecurityProfile;
}

export interface Explanation {
  readonly backend: string;
  readonly security: SecurityProfile;
  /** Whether this one would be taken. A runtime that could, behind one that is taken, is `possible`. */
  readonly verdict: "chosen" | "possible" | "refused";
  readonly artifact?: ArtifactKind;
  readonly isolation?: Isolation;
  readonly limits?: readonly PlannedLimit[];
  readonly code?: string;
  readonly reason?: string;
  /** Whether it sends tasks to runtimes elsewhere: while none of them answers, nobody knows what they would hold. */
  readonly delegates?: boolean;
}

export interface RuntimeOptions {
  /** Not closed by the runtime: who creates closes. */
  readonly backend: Backend;
  /** Default `"standard"`. */
  readonly security?: SecurityProfile;
  /** Short for `resources.timeout`. */
  readonly timeout?: Quantity;
  /** Values for tasks that name none. */
  readonly resources?: Resources;
  /** The most that a task may ask for. Default: ten times the profile's defaults. */
  readonly maxima?: Resources;
  /** Where a `ToolRef` is looked up. */
  readonly tools?: Registry;
  /** Default: one of its own in memory. */
  readonly blobs?: BlobStore;
  /**
   * Gives a secret's value, or nothing where there is none. Asked last, for each run, only for names the tool declares. Not
   * asked for a backend that delegates: there the runtime that runs the tool has the secrets.
   */
  readonly secrets?: (name: string) => string | undefined | Promise<string | undefined>;
  /** Whether tasks may use `bestEffort`. Default `true`. */
  readonly allowsBestEffort?: boolean;
  /** Default: no bound. */
  readonly concurrency?: Concurrency;
  /** The most for input JSON and files together, in bytes. Default 64 MiB. */
  readonly maxInputBytes?: number;
  /** The most files that a run may hand back. Default 256. */
  readonly maxOutputFiles?: number;
  /** How much of stdout and stderr the result shows as text, in bytes each. Default 64 KiB. */
  readonly captureBytes?: number;
}

/**
 * Puts a backend under a security profile.
 *
 * Whether the backend can serve the profile is found out by its probe: a task that it cannot hold is refused.
 *
 * @throws `ERR_ARGUMENT_INVALID` for options that cannot be read.
 */
export function createRuntime(options: RuntimeOptions): Runtime {
  return new BackendRuntime(options);
}
