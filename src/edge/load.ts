import { wireHeaders } from "../internal/wire-names.ts";
import type { BackendLoad } from "../runtime.ts";
import type { Settings } from "./options.ts";
import { replyJson } from "./reply.ts";
import { identify, type AppContext } from "./scope.ts";

/** What all have together; nothing where one of them has no bound. */
function sum(loads: readonly BackendLoad[], member: "capacity" | "queue"): number | undefined {
  let total = 0;
  for (const load of loads) {
    const value = load[member];
    if (value === undefined) return undefined;
    total += value;
  }
  return total;
}

/** A dictionary of RFC 9651 §3.2; without `capacity` or `queue` where those have no bound. */
export function loadText(loads: readonly BackendLoad[]): string {
  const [capacity, queue] = [sum(loads, "capacity"), sum(loads, "queue")];
  let [running, queued] = [0, 0];
  for (const load of loads) {
    running += load.running;
    queued += load.queued;
  }
  const bounds = [capacity === undefined ? "" : `, capacity=${capacity}`, queue === undefined ? "" : `, queue=${queue}`];
  return `running=${running}${bounds[0]}, queued=${queued}${bounds[1]}`;
}

/** Says in each answer of the API how full the service is; not to those who are nobody here. */
export function noteLoad(c: AppContext, { runtime }: Settings): void {
  if (c.get("scope").identity === undefined || !c.req.path.startsWith("/v1/")) return;
  const loads = runtime.load();
  if (loads.length > 0) c.res.headers.set(wireHeaders.load, loadText(loads));
}

/** `GET /v1/capacity`. */
export function getCapacity(settings: Settings): (c: AppContext) => Promise<Response> {
  return async (c) => {
    await identify(c, settings, "read");
    const { state, runtime } = settings;
    return replyJson(c.get("scope").requestId, 200, JSON.stringify({ draining: state.isDraining, backends: runtime.load() }));
  };
}
