import type { Hono } from "hono";
import type { SecurityProfile } from "../profile.ts";
import type { Registry } from "../registry.ts";
import type { Runtime } from "../runtime.ts";
import type { BlobStore, ExecutionStore } from "../store.ts";
import type { WireHost } from "../wire.ts";
import type { ReceivedTools } from "./received-tools.ts";
import type { Authenticator, Scope } from "./auth.ts";
import type { RateLimiter } from "./rates.ts";
import { collectingHash, type StreamHash } from "./body-digest.ts";

/** Takes facts and a sentence, as pino does. */
export interface Log {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** Counts what happens; the Node host has one for Prometheus. */
export interface Metrics {
  requestEnded(facts: { readonly method: string; readonly status: number; readonly ms: number }): void;
  executionEnded(facts: {
    readonly tool: string;
    readonly backend: string;
    /** `OK`, or the error's code. */
    readonly outcome: string;
    readonly exitCode?: number;
    readonly ms: number;
  }): void;
  expose(facts: { readonly running: number }): Promise<{ readonly contentType: string; readonly text: string }>;
}

export interface ServiceLimits {
  /** A JSON body, in bytes. Default 4 MiB. */
  readonly maxJsonBytes: number;
  /** Files inside a JSON body, decoded, all together. Default 1 MiB. */
  readonly maxInlineFileBytes: number;
  /** A multipart body or a blob, in bytes. Default 64 MiB. */
  readonly maxUploadBytes: number;
  /** Files in one request. Default 256. */
  readonly maxFiles: number;
  /** Executions that run or wait; more are refused with 429. Default 1024. */
  readonly maxExecutions: number;
  /** How long a reader may leave what is ready for it unread, in ms. Default by profile: 30, 10 and 5 s. */
  readonly stalledReaderMs: number;
  readonly heartbeatMs: number;
}

/** Further routes behind the same checks: `/mcp`, a page to read the API. */
export interface Mount {
  readonly path: string;
  readonly app: Hono;
  /** `"public"`: without a token. */
  readonly access: Scope | "public";
}

/** What app and host tell each other while the service runs. */
export interface ServiceState {
  /** Set by the host: no new work. */
  isDraining: boolean;
  /** Set by the app: executions that have not ended. */
  running: number;
}

export interface AppOptions {
  /** Not closed by the app. */
  readonly runtime: Runtime;
  readonly tools: Registry;
  /** The runtime's store too, or files by digest are not found. */
  readonly blobs: BlobStore;
  readonly executions: ExecutionStore;
  readonly authenticate: Authenticator;
  /** Counts the requests of those who are known; those that end a run or keep it going are not counted. Default: no limit. */
  readonly limitRate?: RateLimiter;
  /** SHA-256 of a caller's certificate in base64url, out of what the host hands in with each request. Default: nobody has one. */
  readonly certificateOf?: (env: unknown) => string | undefined;
  /** Hashes bodies that a token is bound to. Default: WebCrypto, which has to have the whole. */
  readonly createHash?: () => StreamHash;
  /** The values of Host that are answered, without a port; `"any"` where the platform routes by host. */
  readonly hosts: readonly string[] | "any";
  /** Origins besides the service's own whose pages may call it. */
  readonly origins?: readonly string[];
  /** Tasks that ask for a weaker profile are refused. Default: the runtime's. */
  readonly security?: SecurityProfile;
  readonly log?: Log;
  readonly metrics?: Metrics;
  readonly limits?: Partial<ServiceLimits>;
  readonly state?: ServiceState;
  readonly mounts?: readonly Mount[];
  /**
   * Told of each run, on platforms that end what a request started when its caller has gone: the run comes to its end, or
   * nobody would give back what it holds.
   */
  readonly keepAlive?: (work: Promise<unknown>) => void;
  /** Tools that callers may send; `tools` then. Default: none are taken. */
  readonly receivedTools?: ReceivedTools;
  /** The machine, told to whoever asks what it has. */
  readonly node?: WireHost;
  /** Shown in the OpenAPI document. */
  readonly version?: string;
}

export interface Settings extends Required<
  Omit<AppOptions, "limits" | "metrics" | "keepAlive" | "limitRate" | "node" | "certificateOf" | "receivedTools">
> {
  readonly limits: ServiceLimits;
  readonly keepAlive: AppOptions["keepAlive"];
  readonly limitRate: AppOptions["limitRate"];
  readonly certificateOf: AppOptions["certificateOf"];
  readonly node: AppOptions["node"];
  readonly receivedTools: ReceivedTools | undefined;
  /** Made when it is first asked for: Workers give no random numbers before the first request. */
  readonly instance: () => string;
  readonly metrics: Metrics | undefined;
}

const stalledReaderMs: Readonly<Record<SecurityProfile, number>> = { dev: 30_000, standard: 10_000, hardened: 5000 };

const silentLog: Log = { info() {}, warn() {}, error() {} };

export function normalize(options: AppOptions): Settings {
  const security = options.security ?? options.runtime.security;
  const { limits } = options;
  let instance: string | undefined;
  return {
    ...options,
    origins: options.origins ?? [],
    security,
    log: options.log ?? silentLog,
    metrics: options.metrics,
    keepAlive: options.keepAlive,
    limitRate: options.limitRate,
    certificateOf: options.certificateOf,
    createHash: options.createHash ?? collectingHash,
    node: options.node,
    receivedTools: options.receivedTools,
    instance: () => (instance ??= crypto.randomUUID()),
    limits: {
      maxJsonBytes: limits?.maxJsonBytes ?? 4 * 2 ** 20,
      maxInlineFileBytes: limits?.maxInlineFileBytes ?? 2 ** 20,
      maxUploadBytes: limits?.maxUploadBytes ?? 64 * 2 ** 20,
      maxFiles: limits?.maxFiles ?? 256,
      maxExecutions: limits?.maxExecutions ?? 1024,
      stalledReaderMs: limits?.stalledReaderMs ?? stalledReaderMs[security],
      heartbeatMs: limits?.heartbeatMs ?? 5000,
    },
    state: options.state ?? { isDraining: false, running: 0 },
    mounts: options.mounts ?? [],
    version: options.version ?? "0.0.0",
  };
}
