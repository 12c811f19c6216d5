import { ToolRuntimeError } from "./errors.ts";
import type { AuditLog } from "./internal/audit.ts";
import { sha256, type Digest } from "./internal/digest.ts";

export { createAuditLog, verifyAudit } from "./internal/audit.ts";
export type { AuditEvent, AuditLog, AuditLogOptions, AuditRecord, AuditSink, AuditSubject, AuditVerdict } from "./internal/audit.ts";
export { memoryExecutionStore } from "./internal/execution-store.ts";
export type { MemoryExecutionStoreOptions } from "./internal/execution-store.ts";

export interface BlobInfo {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** A part of a blob: from `start` up to `end`, which is not part of it. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** A blob that is held: it is not dropped before it is closed and its streams are read or cancelled. */
export interface OpenBlob {
  readonly size: number;
  /** The bytes, or a part of them; each call reads anew. They are not to be changed. */
  stream(range?: ByteRange): ReadableStream<Uint8Array>;
  /** Lets go of it; once is enough. */
  close(): void;
}

/** Bytes by content. What is put in comes out the same, or not at all. */
export interface BlobStore {
  /**
   * Reads the content to its end and keeps it. Content that is not what was expected is not kept.
   *
   * @throws `ERR_INPUT_TOO_LARGE` beyond the store's limits, `ERR_DIGEST_MISMATCH`, `ERR_STORE_FULL` where what is held leaves no room.
   */
  put(content: Uint8Array | ReadableStream<Uint8Array>, expected?: { readonly digest: string; readonly size: number }): Promise<BlobInfo>;
  /** The bytes whole, or nothing where the store has (or still has) none of that digest. Not to be changed. */
  get(digest: string): Promise<Uint8Array | undefined>;
  /** The blob to be read in pieces, or nothing. To be closed. */
  open(digest: string): Promise<OpenBlob | undefined>;
}

export interface MemoryBlobStoreOptions {
  /** The most for one blob, in bytes. Default 64 MiB. */
  readonly maxBlobBytes?: number;
  /** The most for all; beyond it what was used longest ago is dropped. Default 256 MiB. */
  readonly maxTotalBytes?: number;
}

/** Collects a stream up to a size. @throws `ERR_INPUT_TOO_LARGE`. */
export async function collectBytes(content: Uint8Array | ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  if (content instanceof Uint8Array) {
    assertSize(content.length, maxBytes);
    return content;
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = content.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      size += next.value.length;
      assertSize(size, maxBytes);
      chunks.push(next.value);
    }
  } catch (error) {
    // Not awaited: a stream may never finish its own cancelling.
    void reader.cancel(error).catch(() => undefined);
    throw error;
  }
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

function copyBytes(content: Uint8Array, maxBytes: number): Uint8Array {
  assertSize(content.length, maxBytes);
  return content.slice();
}

/** @throws `ERR_DIGEST_MISMATCH` where a blob is another one than was expected. */
export function assertBlob({ digest, size }: BlobInfo, expected: { readonly digest: string; readonly size: number } | undefined): void {
  if (expected === undefined || (expected.digest === digest && expected.size === size)) return;
  throw new ToolRuntimeError(
    "ERR_DIGEST_MISMATCH",
    `Cannot keep the bytes as ${JSON.stringify(expected.digest.slice(0, 100))}: they are ${size} bytes of ${digest}`,
    { details: { expected: expected.digest, actual: digest } },
  );
}

/** How much of bytes in memory is given at a time, so that a slow reader is told from one that stands still. */
const pieceBytes = 256 * 2 ** 10;

/** Bytes in memory as a stream. */
export function streamOf(bytes: Uint8Array, { start, end }: ByteRange = { start: 0, end: bytes.length }): ReadableStream<Uint8Array> {
  let at = start;
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (at < end) controller.enqueue(bytes.subarray(at, (at = Math.min(end, at + pieceBytes))));
        if (at >= end) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

/** @throws `ERR_INPUT_TOO_LARGE`. */
export function assertSize(size: number, maxBytes: number): void {
  if (size <= maxBytes) return;
  throw new ToolRuntimeError("ERR_INPUT_TOO_LARGE", `Cannot take the content: it is over ${maxBytes} bytes`, { details: { maxBytes } });
}

/** A `BlobStore` in this process's memory, bounded, least recently used out first. */
export function memoryBlobStore(options: MemoryBlobStoreOptions = {}): BlobStore {
  const maxBlobBytes = options.maxBlobBytes ?? 64 * 2 ** 20;
  const maxTotalBytes = options.maxTotalBytes ?? 256 * 2 ** 20;
  const blobs = new Map<string, Uint8Array>();
  let total = 0;
  const use = (digest: string): Uint8Array | undefined => {
    const bytes = blobs.get(digest);
    if (bytes === undefined) return undefined;
    blobs.delete(digest);
    blobs.set(digest, bytes);
    return bytes;
  };
  return {
    async put(content, expected) {
      const most = Math.min(maxBlobBytes, maxTotalBytes);
      // Copied before anything is awaited: the caller may change his bytes as soon as he has the promise.
      const bytes = content instanceof Uint8Array ? copyBytes(content, most) : await collectBytes(content, most);
      const blob: BlobInfo = { digest: await sha256(bytes), size: bytes.length };
      assertBlob(blob, expected);
      const { digest } = blob;
      if (!blobs.delete(digest)) total += bytes.length;
      blobs.set(digest, bytes);
      for (const [oldest, old] of blobs) {
        if (total <= maxTotalBytes) break;
        blobs.delete(oldest);
        total -= old.length;
      }
      return blob;
    },
    get: async (digest) => use(digest),
    async open(digest) {
      const bytes = use(digest);
      // Who holds the bytes has them, whether or not the store still does.
      return bytes === undefined ? undefined : { size: bytes.length, stream: (range) => streamOf(bytes, range), close() {} };
    },
  };
}

export interface ExecutionInfo {
  readonly id: string;
  readonly tenant: string;
  readonly principal: string;
  readonly tool: { readonly name: string; readonly version: string; readonly digest: Digest };
  /** RFC 3339. */
  readonly createdAt: string;
}

/** How an execution ended, as JSON text, so that whoever asks again gets the same answer. */
export interface Outcome {
  readonly kind: "result" | "error";
  /** The HTTP status of the answer. */
  readonly status: number;
  /** The result, or the problem document. */
  readonly json: string;
  /** What else its head says, such as `retry-after`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The sequence number of the event that carries it; the `end` event has the next one. */
  readonly seq: number;
  /** Whether it stands for the request for good. An error that came before the tool started and may pass by is not. */
  readonly isFinal: boolean;
}

export interface ExecutionState extends ExecutionInfo {
  readonly status: "accepted" | "running" | "ended";
  /** RFC 3339. */
  readonly endedAt?: string;
  readonly outcome?: Outcome;
}

/** An event as JSON text. */
export interface StoredEvent {
  readonly seq: number;
  readonly json: string;
}

export interface IdempotencyRequest {
  readonly tenant: string;
  readonly key: string;
  /** Digest of what the key stands for; another one under the same key is a conflict. */
  readonly fingerprint: string;
  readonly executionId: string;
}

/** What came of claiming an idempotency key. */
export type Claim =
  /**
   * The key is free and now held: run, then call one of both exactly once. Both give the outcome to those that wait; `keep`
   * also remembers it, `release` forgets the key, so that the same request may run again.
   */
  | { readonly kind: "first"; keep(outcome: Outcome): MaybePromise<void>; release(outcome: Outcome): MaybePromise<void> }
  /** Another request holds it. `outcome` is there once that one has ended; `wait` throws `ERR_ABORTED` with the signal. */
  | { readonly kind: "repeat"; readonly executionId: string; readonly outcome?: Outcome; wait(signal: AbortSignal): Promise<Outcome> }
  | { readonly kind: "conflict" };

type MaybePromise<T> = T | Promise<T>;

/**
 * What a service remembers of its executions: state, events, idempotency keys, who may read which blob, and the audit
 * log. Bounded; what has ended longest ago goes first, what has not ended never does.
 */
export interface ExecutionStore {
  readonly audit: AuditLog;
  /** `onCancelled` is called where others than this process ask for the execution's end, or have given it up. */
  create(info: ExecutionInfo, onCancelled?: () => void): MaybePromise<void>;
  /** Asks whoever runs it to end it. Absent where all who share the store share the process. */
  cancel?(tenant: string, id: string): MaybePromise<void>;
  /** Keeps an event for those who ask later. */
  addEvent(id: string, event: StoredEvent): MaybePromise<void>;
  /**
   * Called once a run has its place, before its tool can start; the run waits for what it gives back, and does not start
   * where that fails. For stores that must be able to say later that a tool surely has not started.
   */
  starting?(id: string): MaybePromise<void>;
  started(id: string): MaybePromise<void>;
  end(id: string, outcome: Outcome): MaybePromise<void>;
  /** Nothing for an execution of another tenant. */
  get(tenant: string, id: string): MaybePromise<ExecutionState | undefined>;
  /** The kept events after a sequence number, and those to come until the execution has ended or the signal is aborted. */
  events(tenant: string, id: string, after: number, signal: AbortSignal): AsyncIterable<StoredEvent>;
  claim(request: IdempotencyRequest): MaybePromise<Claim>;
  /** Notes that a tenant has had these bytes in hand: it gave them, or one of its runs handed them out. */
  grantBlob(tenant: string, digest: string): MaybePromise<void>;
  mayReadBlob(tenant: string, digest: string): MaybePromise<boolean>;
}
