import type { Sql } from "../../internal/execution-tables.ts";

/**
 * The shapes of the bindings that a worker may have, as far as they are used here. Reference:
 * https://developers.cloudflare.com/workers/runtime-apis/bindings/
 */

export interface R2Bucket {
  get(key: string, options?: { readonly range: { readonly offset: number; readonly length: number } }): Promise<R2Object | null>;
  head(key: string): Promise<R2Head | null>;
  /** A stream must have a known length: one of a `FixedLengthStream`. Fails where the bytes are others than the checksum says. */
  put(key: string, value: Uint8Array | ReadableStream<Uint8Array>, options: { readonly sha256: string }): Promise<unknown>;
}

export interface R2Head {
  readonly size: number;
  /** What the bucket has checked when the object was put. */
  readonly checksums: { readonly sha256?: ArrayBuffer };
}

export interface R2Object {
  readonly size: number;
  readonly etag: string;
  readonly body: ReadableStream<Uint8Array>;
  arrayBuffer(): Promise<ArrayBuffer>;
}

export interface RateLimit {
  limit(request: { readonly key: string }): Promise<{ readonly success: boolean }>;
}

export interface DurableObjectNamespace {
  idFromName(name: string): DurableObjectId;
  get(id: DurableObjectId): DurableObjectStub;
}

/** Of the platform's own making; only handed back to it. */
export type DurableObjectId = object;

export interface DurableObjectStub {
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/** What an object of a class with SQLite is given. */
export interface DurableObjectState {
  readonly storage: DurableObjectStorage;
}

export interface DurableObjectStorage {
  readonly sql: Sql;
  setAlarm(atMs: number): Promise<void>;
}

export interface ExecutionContext {
  /** Keeps what the request started going after it was answered or its caller has gone; on production for 30 s. */
  waitUntil(work: Promise<unknown>): void;
  passThroughOnException(): void;
  readonly props: object;
}

/** The worker's variables, secrets and bindings, by name. None of the bindings must be there. */
export interface WorkerEnv {
  /** Artifacts by digest, the list of tools, and the files of tasks. */
  readonly ARTIFACTS?: R2Bucket;
  /** Executions and idempotency keys. */
  readonly EXECUTIONS?: DurableObjectNamespace;
  readonly RATE_LIMIT?: RateLimit;
  /** A Worker Loader, whose shape is its driver's business. */
  readonly LOADER?: object;
  readonly [name: string]: unknown;
}
