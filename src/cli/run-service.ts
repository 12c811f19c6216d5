import { createLog } from "../adapters/executor/log.ts";
import { createService, type Service, type ServiceConfig } from "../adapters/executor/index.ts";
import { ToolRuntimeError } from "../errors.ts";
import { folderRegistry, type FolderRegistry, type ToolProblem } from "../internal/node/folder-registry.ts";
import type { Limit } from "../limits.ts";
import type { BackendProbe } from "../runtime.ts";
import { exitCodes } from "./exit-codes.ts";
import { defaultToolsFolder } from "./find-tool.ts";
import { readVersion } from "./program.ts";
import { servedBy, unenforcedBy } from "./served-profiles.ts";
import type { Terminal } from "./terminal.ts";

export interface StartedService extends AsyncDisposable {
  readonly service: Service;
  readonly tools: FolderRegistry;
  readonly url: string;
  readonly backends: readonly BackendProbe[];
  /** What the operator must know: sentences. */
  readonly warnings: readonly string[];
  /** Those of them that are not about one backend. */
  readonly generalWarnings: readonly string[];
}

/**
 * Opens the tools folder, puts the service together and listens.
 *
 * @throws `ERR_CONFIG_INVALID`: a taken port, a missing folder, a wrong configuration.
 */
export async function startService(config: ServiceConfig): Promise<StartedService> {
  const { log, flush } = createLog(config.log);
  const onProblem = ({ folder, error, keeps }: ToolProblem): void => {
    const kept = keeps === undefined ? "" : `; version ${keeps} stays`;
    log.warn({ folder, code: error.code }, error.message + kept);
  };
  const tools = await folderRegistry({
    folder: config.tools ?? defaultToolsFolder,
    watch: config.watch ?? config.security === "dev",
    onProblem,
    onChange: (all) => log.info({ tools: all.map(({ manifest }) => `${manifest.name}@${manifest.version}`) }, "tools loaded"),
  });
  let service: Service | undefined;
  try {
    service = await createService({ config, tools, version: await readVersion() });
    const { url } = await service.listen();
    const backends = await service.runtime.probe();
    const generalWarnings = [...service.warnings, ...unservedProfile(backends, config)];
    const warnings = [...generalWarnings, ...backends.flatMap(gapsOf)];
    const opened = service;
    const dispose = async (): Promise<void> => {
      await opened.close();
      await tools.close();
      flush();
    };
    return { service, tools, url, backends, warnings, generalWarnings, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await service?.close();
    await tools.close();
    flush();
    throw error;
  }
}

/** Whether a limit binds only who names it: it has no default, and no profile demands it. */
function isOptional(limit: Limit): boolean {
  return limit === "cpuTime" || limit === "fuel";
}

/** What the profile demands and the backend does not give here, and what nothing enforces in `dev`. */
function gapsOf({ backend, status, reason, capabilities }: BackendProbe): string[] {
  if (status !== "ready") return [`The backend "${backend}" is not ready: ${reason ?? "unknown reason"}`];
  const missing = [...new Set(capabilities.flatMap(unenforcedBy))].filter((limit) => !isOptional(limit));
  return missing.length === 0 ? [] : [`The backend "${backend}" does not enforce ${missing.join(", ")}`];
}

function unservedProfile(probes: readonly BackendProbe[], { security }: ServiceConfig): string[] {
  const isServed = probes.some(
    ({ status, capabilities }) => status === "ready" && capabilities.some((one) => servedBy(one).includes(security)),
  );
  return isServed ? [] : [`No backend here meets profile "${security}": every call will be refused; see "toolruntime doctor"`];
}

/** A wrapper such as npm hands a signal on that the terminal has sent already; only one that comes later is a second. */
const sameSignalMs = 500;
/** For what runs to be ended once somebody insists. */
const lastWordMs = 1000;

/**
 * Waits for SIGINT or SIGTERM, then lets the service drain; a second signal ends it at once.
 *
 * @returns the exit code.
 */
export function untilStopped(terminal: Terminal, started: StartedService): Promise<number> {
  const { service } = started;
  return new Promise((resolve, reject) => {
    let firstAt: number | undefined;
    const stop = (code: number): void => {
      if (firstAt === undefined) {
        firstAt = performance.now();
        terminal.note("toolruntime: what runs may end; a second signal ends it at once");
        service
          .drain()
          .then(() => started[Symbol.asyncDispose]())
          .then(() => resolve(exitCodes.ok), reject);
        return;
      }
      if (performance.now() - firstAt < sameSignalMs) return;
      setTimeout(() => process.exit(code), lastWordMs);
      service.runtime.close().finally(() => process.exit(code));
    };
    process.on("SIGINT", () => stop(exitCodes.interrupted));
    process.on("SIGTERM", () => stop(143));
    // As daemons do it; to what runs in a terminal the signal says that the terminal is gone.
    if (!terminal.isInteractive) process.on("SIGHUP", () => void service.reload());
  });
}

/** @throws `ERR_ARGUMENT_INVALID` for what is no port. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new ToolRuntimeError(
    "ERR_ARGUMENT_INVALID",
    `Cannot take ${JSON.stringify(text)} as a port: it takes 0 to 65535, 0 for any that is free`,
  );
}
