import { hostname } from "node:os";
import type { DestinationStream } from "pino";
import type { Backend } from "../../backend.ts";
import { createApp, receivedTools, type Mount, type ServiceState } from "../../edge/index.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { SecurityProfile } from "../../profile.ts";
import type { Registry } from "../../registry.ts";
import { createRouter } from "../../router.ts";
import { createRuntime, type Runtime, type RuntimeOptions } from "../../runtime.ts";
import type { BlobStore, ExecutionStore } from "../../store.ts";
import type { NodeSource } from "../remote/index.ts";
import { isLoopback, openAuthentication } from "./authenticate.ts";
import { openBackend, type BackendOptions } from "./backends.ts";
import { openBlobs } from "./blobs/open.ts";
import type { ServiceConfig } from "./config/schema.ts";
import { limiterOf, withQuotas } from "./config/tenants.ts";
import { docsPage } from "./docs-page.ts";
import { reapAll, type Reaped } from "./leftovers.ts";
import { lifecycleOf } from "./lifecycle.ts";
import { createLog, type ServiceLog } from "./log.ts";
import { prometheusMetrics } from "./metrics.ts";
import { ownBackend } from "./open-runtime.ts";
import { startReaper } from "./reaper/start.ts";
import { openRegistration, startAnnouncing } from "./registrations.ts";
import { serve, type ServeOptions } from "./server.ts";
import { openStores, type ServiceStores } from "./stores.ts";
import { streamHash } from "./stream-hash.ts";
import { callerCertificates } from "./tls.ts";

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
  /** What the node is called. */
  readonly name: string;
  /** What an earlier process had left, and was removed. */
  readonly reaped: readonly Reaped[];
  /** Executions that an earlier process had not ended. */
  readonly lost: ServiceStores["lost"];
  /** What the operator must know before he lets anybody in, one sentence each. They are in the log too. */
  readonly warnings: readonly string[];
  /** @throws `ERR_CONFIG_INVALID` where the address cannot be listened on. */
  listen(): Promise<{ readonly url: string; readonly port: number }>;
  /** Reads keys and certificates again; what cannot be used leaves in place what is there, and is in the log. */
  reload(): Promise<void>;
  /** Takes no new work, lets what runs end within the grace, then ends it. Closes the service. */
  drain(graceMs?: number): Promise<void>;
  /** Ends everything now. */
  close(): Promise<void>;
}

const loopbackHosts = ["localhost", "127.0.0.1", "[::1]"];
/** How long a request may take to arrive and a reader may stand still (ABUSE F4). */
const patienceMs: Readonly<Record<SecurityProfile, number>> = { dev: 30_000, standard: 10_000, hardened: 5000 };

/**
 * Puts a service together as a configuration says: backends, router, stores, log, metrics, app, server.
 *
 * @throws `ERR_CONFIG_INVALID`.
 */
export async function createService(options: ServiceOptions): Promise<Service> {
  await using opened = new AsyncDisposableStack();
  const service = await openService(options, opened);
  opened.move();
  return service;
}

/** Puts on the stack what has to be closed where the rest fails. */
async function openService(options: ServiceOptions, opened: AsyncDisposableStack): Promise<Service> {
  const { config } = options;
  const hosts = hostsOf(config);
  const log = createLog({ level: config.log.level, ...(options.logTo === undefined ? {} : { destination: options.logTo }) });
  const onReload = reloadLogger(log.log);
  const name = config.name ?? hostname();
  const stores = openStores(config, log.log);
  opened.defer(() => stores.close());
  const { executions } = stores;
  const authentication = await openAuthentication({ config, env: options.env ?? process.env, name, onReload: onReload("keys") });
  opened.defer(() => authentication.close());
  const warnings = [...authentication.warnings];
  const blobs = await openBlobs(config);
  const { remote } = config.backends;
  const registered = remote?.registration === undefined ? undefined : await openRegistration(remote.registration);
  const backends = await openBackends(config, { opened, warn: (message) => warnings.push(message), registered: registered?.source });
  const reaper = await startReaper({ config, log: log.log, logsToStderr: options.logTo === undefined });
  opened.defer(() => reaper?.close());
  const runtime = routeTo(backends, options, blobs);
  const { reaped, stop: stopReaping } = await reapAll(backends, {
    log: log.log,
    audit: executions.audit,
    stateFolder: config.state?.folder,
  });
  for (const message of warnings) log.log.warn({}, message);
  if (stores.lost.length > 0) log.log.warn({ executions: stores.lost }, "an earlier process had not ended these executions");
  const { acceptsTools } = config;
  const received = acceptsTools === undefined ? undefined : receivedTools({ own: options.tools, ...acceptsTools });
  const state: ServiceState = { isDraining: false, running: 0 };
  const { maxConnections: _connections, requestMs: _request, ...limits } = config.limits;
  const document = async () => (await app.request("http://localhost/openapi.json", { headers: { host: "localhost" } })).json();
  const app: Service["app"] = createApp({
    runtime,
    tools: received ?? options.tools,
    ...(received === undefined ? {} : { receivedTools: received }),
    blobs,
    executions,
    authenticate: authentication.authenticate,
    ...limiterOf(config),
    certificateOf: callerCertificates(),
    createHash: streamHash,
    hosts,
    origins: config.origins,
    security: config.security,
    log: log.log,
    metrics: prometheusMetrics(),
    limits,
    state,
    mounts: [docsPage(document), ...(registered === undefined ? [] : [registered.mount]), ...(options.mounts ?? [])],
    node: { name, arch: process.arch, os: process.platform },
    ...(options.version === undefined ? {} : { version: options.version }),
  });
  const closeRest = async (): Promise<void> => {
    stopReaping();
    await reaper?.close();
    await stores.close();
  };
  const parts = {
    runtime,
    log,
    state,
    authentication,
    closeRest,
    announce: async (url: string) => {
      const { announce } = config;
      return announce === undefined ? undefined : startAnnouncing({ config: announce, name, url, log: log.log });
    },
    listen: () => serve({ fetch: app.fetch, ...serverOf(config, onReload("certificates")) }),
    graceMs: config.graceMs,
  };
  return { app, runtime, executions, blobs, name, reaped, lost: stores.lost, warnings, ...lifecycleOf(parts) };
}

type OnReload = (problem?: ToolRuntimeError) => void;

function reloadLogger(log: ServiceLog["log"]): (what: string) => OnReload {
  return (what) => (problem) => {
    if (problem === undefined) log.info({}, `${what} read again`);
    else log.error({ code: problem.code }, `${problem.message}; what was read before stays`);
  };
}

function serverOf({ host, port, limits, security, tls }: ServiceConfig, onReload: OnReload): Omit<ServeOptions, "fetch"> {
  const { maxConnections, requestMs = patienceMs[security], stalledReaderMs = patienceMs[security] } = limits;
  return { host, port, requestMs, stalledReaderMs, maxConnections, ...(tls === undefined ? {} : { tls, onReload }) };
}

function configError(problem: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot start the service: ${problem}`);
}

function hostsOf({ host, hosts }: ServiceConfig): readonly string[] | "any" {
  if (hosts === "any") return "any";
  if (hosts === undefined && !isLoopback(host)) {
    throw configError(`it would listen on ${host}; name the hosts that callers use for it under "hosts", or say "any"`);
  }
  return [...loopbackHosts, ...(hosts ?? []).map((name) => name.toLowerCase())];
}

interface Opening {
  readonly opened: AsyncDisposableStack;
  readonly warn: (message: string) => void;
  readonly registered: NodeSource | undefined;
}

async function openBackends(
  { backends: { wasm, unsafe, docker, containerd, gvisor, remote }, security }: ServiceConfig,
  { opened, warn, registered }: Opening,
): Promise<Backend[]> {
  const open = async <N extends keyof BackendOptions>(name: N, backend: BackendOptions[N]): Promise<Backend> => {
    const one = await openBackend(name, backend);
    opened.defer(() => one.close());
    return one;
  };
  if (unsafe !== undefined && security !== "dev") throw configError(`the backend "unsafe" serves profile "dev" alone, not "${security}"`);
  return [
    ...(wasm === undefined ? [] : [await open("wasm", security === "hardened" ? { process: {}, ...wasm } : wasm)]),
    ...(docker === undefined ? [] : [await open("docker", docker)]),
    ...(containerd === undefined ? [] : [await open("containerd", containerd)]),
    ...(gvisor === undefined ? [] : [await open("gvisor", gvisor)]),
    ...(remote === undefined ? [] : [await open("remote", registered === undefined ? remote : { ...remote, registered })]),
    ...(unsafe === undefined ? [] : [await open("unsafe", { ...unsafe, warn })]),
  ];
}

/** One runtime for each backend; several stand behind a router, in the order of the configuration. */
function routeTo(backends: readonly Backend[], { config, tools, secrets }: ServiceOptions, blobs: BlobStore): Runtime {
  const { resources, maxima, allowsBestEffort, security } = config;
  const runtimes = backends.map((backend) => {
    const runtime = createRuntime({
      backend,
      security,
      tools,
      blobs,
      concurrency: withQuotas(config),
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
