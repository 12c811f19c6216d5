import type { Backend, Plan, Tool } from "../../../src/index.ts";

/**
 * Makes tools ready while a worker starts: on workerd nothing is compiled later. A backend waits for the engine's own thread
 * and with a timer, and neither is there yet, so for that time both are put aside.
 *
 * @returns what could not be made ready, by name.
 */
export async function prepareAhead(
  backend: Backend,
  tools: ReadonlyMap<string, Tool>,
  isDeterministic: boolean,
): Promise<Map<string, unknown>> {
  const { compile } = WebAssembly;
  const { setTimeout, clearTimeout } = globalThis;
  const refused = new Map<string, unknown>();
  try {
    WebAssembly.compile = async (bytes) => new WebAssembly.Module(bytes);
    Object.assign(globalThis, { setTimeout: () => 0, clearTimeout: () => undefined });
    for (const [name, tool] of tools) {
      try {
        await backend.prepare(planFor(tool, isDeterministic), neverAborted);
      } catch (error) {
        refused.set(name, error);
      }
    }
  } finally {
    WebAssembly.compile = compile;
    Object.assign(globalThis, { setTimeout, clearTimeout });
  }
  return refused;
}

const neverAborted = new AbortController().signal;

/** As much of a plan as an engine looks at when it makes a tool ready. */
function planFor(tool: Tool, isDeterministic: boolean): Plan {
  return {
    digest: tool.digest,
    tool,
    artifact: "wasm",
    profile: "standard",
    isolation: "wasm",
    limits: [],
    network: "none",
    graceMs: 0,
    ...(isDeterministic ? { deterministic: { seed: "", nowMs: 0 } } : {}),
  };
}
