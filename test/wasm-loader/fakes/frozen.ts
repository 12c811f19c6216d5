import { isolate as open, type IsolateFacts, type IsolateHandler, type IsolateModules } from "../../../src/wasm/loader/isolate.ts";
import { freezeClocks, movesClocks } from "../../engines/workerd/frozen-clock.ts";

/** The real isolate, with clocks that stand still while code runs as they do on Cloudflare's own machines. */
freezeClocks();

export function isolate(
  facts: IsolateFacts,
  modules: IsolateModules,
): { fetch(...parameters: Parameters<IsolateHandler["fetch"]>): Promise<Response> } {
  const real = open(facts, modules);
  return {
    fetch: (request, env, context) => movesClocks({ fetch: async (moved) => real.fetch(moved, env, context) }).fetch(request),
  };
}
