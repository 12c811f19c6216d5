import type { ServiceState } from "../../edge/index.ts";
import type { Runtime } from "../../runtime.ts";
import type { ServiceAuthentication } from "./authenticate.ts";
import type { ServiceLog } from "./log.ts";
import type { RunningServer } from "./server.ts";
import type { Service } from "./service.ts";

export interface LifecycleParts {
  readonly runtime: Runtime;
  readonly log: ServiceLog;
  readonly state: ServiceState;
  readonly graceMs: number;
  readonly authentication: Pick<ServiceAuthentication, "reload" | "close">;
  listen(): Promise<RunningServer>;
  /** Says elsewhere that the service is there; gives what takes it away again. */
  announce(url: string): Promise<(() => Promise<void>) | undefined>;
  /** Closes what the service made, once nothing uses it any more. */
  closeRest(): Promise<void>;
}

type Lifecycle = Pick<Service, "listen" | "reload" | "drain" | "close" | typeof Symbol.asyncDispose>;

/** For what was ended at last to be noted, and for its callers to be answered. */
const lastMs = 5000;
const answeringMs = 500;
const lookMs = 20;

async function untilIdle(state: ServiceState, mostMs: number): Promise<void> {
  const until = performance.now() + mostMs;
  while (state.running > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, lookMs));
}

export function lifecycleOf(parts: LifecycleParts): Lifecycle {
  const { runtime, log, state } = parts;
  let server: RunningServer | undefined;
  let leave: (() => Promise<void>) | undefined;
  let closing: Promise<void> | undefined;
  const end = async (graceMs: number): Promise<void> => {
    // From here on new work is refused with 503. Who waits for what runs can still ask for it, on new connections too.
    state.isDraining = true;
    log.log.info({ running: state.running, graceMs }, "draining");
    const left = leave?.();
    await untilIdle(state, graceMs);
    const ended = state.running;
    await runtime.close();
    await untilIdle(state, lastMs);
    const kill = setTimeout(() => server?.kill(), answeringMs);
    await server?.stop();
    await left;
    clearTimeout(kill);
    parts.authentication.close();
    await parts.closeRest();
    log.log.info({ ended }, "closed");
    log.flush();
  };
  const close = (graceMs: number): Promise<void> => (closing ??= end(graceMs));
  return {
    async listen() {
      server = await parts.listen();
      log.log.info({ url: server.url }, "listening");
      leave = await parts.announce(server.url);
      return server;
    },
    reload: async () => {
      await parts.authentication.reload();
      await server?.reload();
    },
    drain: (graceMs = parts.graceMs) => close(graceMs),
    close: () => close(0),
    [Symbol.asyncDispose]: () => close(0),
  };
}
