import type { DestinationStream } from "pino";
import type { Backend } from "../../backend.ts";
import { anyone, bearerTokens, createApp, type Mount, type ServiceState } from "../../edge/index.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { SecurityProfile } from "../../profile.ts";
import type { Registry } from "../../registry.ts";
import { createRouter } from "../../router.ts";
import { createRuntime, type Runtime, type RuntimeOptions } from "../../runtime.ts";
import { memoryBlobStore, memoryExecutionStore, type BlobStore, type ExecutionStore } from "../../store.ts";
import { openAudit } from "./audit-file.ts";
import { openBackend } from "./backends.ts";
import type { ServiceConfig } from "./config/schema.ts";
import { resolveTokens } from "./config/tokens.ts";
import { docsPage } from "./docs-page.ts";
import { createLog, type ServiceLog } from "./log.ts";
import { prometheusMetrics } from "./metrics.ts";
import { ownBackend } from "./open-runtime.ts";
import { serve, type RunningServer } from "./server.ts";

export interface ServiceOptions {
  /** From `parseConfig` or `loadConfig`. */
  readonly config: ServiceConfig;
  /** Not closed by the service. */
  readonly tools: Registry;
  /** Shown in the OpenAPI document. */
  readonly version?: string;
  /** Where the log goes. Default: stderr. */
  readonly logTo?: DestinationStream;
  /** Where tokens named by a variable are looked up. Default: the process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly secrets?: RuntimeOptions["secrets"];
  /** Further routes. */
  readonly mounts?: readonly Mount[];
}

/** A service that is put together and does not listen yet. */
export interface Service extends AsyncDisposable {
  readonly app: ReturnType<typeof createApp>;
  readonly runtime: Runtime;
  readonly executions: ExecutionStore;
  readonly blobs: BlobStore;
  /** What the operator must know before he lets anybody in, one sentence each. They are in the log too. */
  readonly warnings: readonly string[];
  /** @throws `ERR_CONFIG_INVALID` where the address cannot be listened on. */
  listen(): Promise<{ readonly url: string; readonly port: number }>;
  /** Takes no new work, lets what runs end within the grace, then ends it. Closes the service. */
  drain(graceMs?: number): Promise<void>;
  /** Ends everything now. */
  close(): Promise<void>;
}

const loopback: ReadonlySet<string> = new Set(["127.0.0.1", "::1", "localhost"]);
const loopbackHosts = ["localhost", "127.0.0.1", "[::1]"];
/** How long a request may take to arrive and a reader may stand still (ABUSE F4). */
const patienceMs: Readonly<Record<SecurityProfile, number>> = { dev: 30_000, standard: 10_000, hardened: 5000 };

/**
 * Puts a service together as a configuration says: backends, router, stores, log, metrics, app, server.
 *
 * @throws `ERR_CONFIG_INVALID`.
 */
export async function createService(options: ServiceOptions): Promise<Service> {
  const { config } = options;
  const hosts = hostsOf(config);
  const { authenticate, warning } = await authenticatorOf(config, options.env ?? process.env);
  const warnings = warning === undefined ? [] : [warning];
  const log = createLog({ level: config.log.level, ...(options.logTo === undefined ? {} : { destination: options.logTo }) });
  const { maxUploadBytes } = config.limits;
  const blobs = memoryBlobStore(maxUploadBytes === undefined ? {} : { maxBlobBytes: maxUploadBytes });
  const backends = await openBackends(config, (message) => warnings.push(message));
  for (const backend of backends) {
    const { removed } = await backend.reap();
    if (removed.length > 0) log.log.warn({ backend: backend.name, removed }, "removed what an earlier process had left");
  }
  const runtime = routeTo(backends, options, blobs);
  for (const message of warnings) log.log.warn({}, message);
  const { audit, close: closeAudit } = openAudit(config.audit?.file);
  const executions = memoryExecutionStore({ audit });
  const state: ServiceState = { isDraining: false, running: 0 };
  const { maxConnections, requestMs, ...limits } = config.limits;
  const document = async () => (await app.request("http://localhost/openapi.json", { headers: { host: "localhost" } })).json();
  const app: Service["app"] = createApp({
    runtime,
    tools: options.tools,
    blobs,
    executions,
    authenticate,
    hosts,
    origins: config.origins,
    security: config.security,
    log: log.log,
    metrics: prometheusMetrics(),
    limits,
    state,
    mounts: [docsPage(document), ...(options.mounts ?? [])],
    ...(options.version === undefined ? {} : { version: options.version }),
  });
  const patience = patienceMs[config.security];
  const listenOptions = {
    fetch: app.fetch,
    host: config.host,
    port: config.port,
    requestMs: requestMs ?? patience,
    stalledReaderMs: limits.stalledReaderMs ?? patience,
    maxConnections,
  };
  const parts = { runtime, log, state, closeAudit, listen: () => serve(listenOptions), graceMs: config.graceMs };
  return { app, runtime, executions, blobs, warnings, ...lifecycle(parts) };
}

interface Parts {
  readonly runtime: Runtime;
  readonly log: ServiceLog;
  readonly state: ServiceState;
  readonly graceMs: number;
  listen(): Promise<RunningServer>;
  closeAudit(): void;
}

function lifecycle(parts: Parts): Pick<Service, "listen" | "drain" | "close" | typeof Symbol.asyncDispose> {
  const { runtime, log, state } = parts;
  let server: RunningServer | undefined;
  let closing: Promise<void> | undefined;
  const end = async (graceMs: number): Promise<void> => {
    state.isDraining = true;
    const stopped = server?.stop();
    const until = performance.now() + graceMs;
    while (state.running > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
    await runtime.close();
    // What was just ended is still being answered.
    const kill = setTimeout(() => server?.kill(), 500);
    await stopped;
    clearTimeout(kill);
    parts.closeAudit();
    log.log.info({}, "closed");
    log.flush();
  };
  const close = (graceMs: number): Promise<void> => (closing ??= end(graceMs));
  return {
    async listen() {
      server = await parts.listen();
      log.log.info({ url: server.url }, "listening");
      return server;
    },
    drain: (graceMs = parts.graceMs) => close(graceMs),
    close: () => close(0),
    [Symbol.asyncDispose]: () => close(0),
  };
}

function configError(problem: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot start the service: ${problem}`);
}

function hostsOf({ host, hosts }: ServiceConfig): readonly string[] | "any" {
  if (hosts === "any") return "any";
  if (hosts === undefined && !loopback.has(host)) {
    throw configError(`it would listen on ${host}; name the hosts that callers use for it under "hosts", or say "any"`);
  }
  return [...loopbackHosts, ...(hosts ?? []).map((name) => name.toLowerCase())];
}

async function authenticatorOf(config: ServiceConfig, env: NonNullable<ServiceOptions["env"]>) {
  const tokens = await resolveTokens(config.tokens, env);
  if (tokens.length > 0) return { authenticate: bearerTokens(tokens), warning: undefined };
  if (config.security !== "dev") throw configError(`profile "${config.security}" needs at least one token under "tokens"`);
  if (!loopback.has(config.host)) throw configError(`it would listen on ${config.host} without a token; configure one under "tokens"`);
  const warning = "No token is configured: everybody on this machine may run tools; fit for development only";
  return { authenticate: anyone(), warning };
}

async function openBackends(
  { backends: { wasm, unsafe, docker }, security }: ServiceConfig,
  warn: (message: string) => void,
): Promise<Backend[]> {
  if (unsafe !== undefined && security !== "dev") throw configError(`the backend "unsafe" serves profile "dev" alone, not "${security}"`);
  return [
    ...(wasm === undefined ? [] : [await openBackend("wasm", security === "hardened" ? { process: {}, ...wasm } : wasm)]),
    ...(docker === undefined ? [] : [await openBackend("docker", docker)]),
    ...(unsafe === undefined ? [] : [await openBackend("unsafe", { ...unsafe, warn })]),
  ];
}

/** One runtime for each backend; several stand behind a router, in the order of the configuration. */
function routeTo(backends: readonly Backend[], { config, tools, secrets }: ServiceOptions, blobs: BlobStore): Runtime {
  const { resources, maxima, allowsBestEffort, concurrency, security } = config;
  const runtimes = backends.map((backend) => {
    const runtime = createRuntime({
      backend,
      security,
      tools,
      blobs,
      concurrency,
      allowsBestEffort,
      maxInputBytes: Math.max(64 * 2 ** 20, config.limits.maxUploadBytes ?? 0),
      ...(resources === undefined ? {} : { resources }),
      ...(maxima === undefined ? {} : { maxima }),
      ...(secrets === undefined ? {} : { secrets }),
    });
    return ownBackend(runtime, backend);
  });
  const [only, ...others] = runtimes;
  return only !== undefined && others.length === 0 ? only : createRouter({ runtimes, tools });
}
