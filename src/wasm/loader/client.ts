/**
 * The shape of a Worker Loader binding, as far as it is used here
 * (https://developers.cloudflare.com/dynamic-workers/api-reference/).
 */
export interface WorkerLoader {
  /** Gives the worker of that id; the platform asks for its code where it has none, and may have it any number of times. */
  get(id: string, code: () => Promise<WorkerCode>): WorkerStub;
  /** Gives a worker of its own, which nobody finds again. */
  load(code: WorkerCode): WorkerStub;
}

export interface WorkerStub {
  getEntrypoint(): WorkerEntrypoint;
}

export interface WorkerEntrypoint {
  fetch(url: string, init: RequestInit): Promise<Response>;
}

export interface WorkerCode {
  readonly compatibilityDate: string;
  readonly compatibilityFlags: string[];
  readonly mainModule: string;
  readonly modules: Record<string, WorkerModule>;
  /** What the worker is given. */
  readonly env: Record<string, never>;
  /** `null`: each request that it makes fails. */
  readonly globalOutbound: null;
  readonly limits: WorkerLimits;
}

export type WorkerModule = { readonly js: string } | { readonly json: object } | { readonly wasm: ArrayBuffer };

/** For each call of the worker. The `workerd` that anybody can run takes them and holds none. */
export interface WorkerLimits {
  readonly cpuMs: number;
  readonly subRequests: number;
}

/** How the platform ended an isolate, by its message. */
const platformEnds = [
  { pattern: /exceeded (?:its )?CPU(?: time)? limit/i, end: "cpu" },
  { pattern: /exceeded (?:its )?memory limit/i, end: "memory" },
] as const;

/** What the platform ended an isolate for, where it says so. */
export function platformEndOf(error: unknown): "cpu" | "memory" | undefined {
  const message = error instanceof Error ? error.message : String(error);
  return platformEnds.find(({ pattern }) => pattern.test(message))?.end;
}
