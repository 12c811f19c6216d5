/**
 * The shapes of the bindings that a worker may have, as far as they are used here. Reference:
 * https://developers.cloudflare.com/workers/runtime-apis/bindings/
 */

export interface R2Bucket {
  get(key: string): Promise<R2Object | null>;
  head(key: string): Promise<{ readonly size: number } | null>;
  put(key: string, value: Uint8Array, options: { readonly sha256: string }): Promise<unknown>;
}

export interface R2Object {
  readonly size: number;
  readonly etag: string;
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
  readonly sql: SqlStorage;
  setAlarm(atMs: number): Promise<void>;
}

export type SqlValue = string | number | null;
export type SqlRow = Record<string, SqlValue>;

export interface SqlStorage {
  exec<T extends SqlRow>(query: string, ...values: readonly SqlValue[]): Iterable<T>;
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
