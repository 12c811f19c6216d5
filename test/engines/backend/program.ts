import { createRuntime, ToolRuntimeError, type Backend, type LimitReceipt, type Runtime, type Task } from "../../../src/index.ts";
import { wasm, type WasmOptions } from "../../../src/wasm/index.ts";
import { eventLoopTurn, type EventLoopTurn } from "../../../src/wasm/turns.ts";
import type { Tools } from "./tools.ts";

/** The engine's own turns of the event loop, counted. */
export class CountedTurns {
  asked = 0;
  readonly #next = eventLoopTurn();
  readonly next: EventLoopTurn = (go) => {
    this.asked++;
    this.#next(go);
  };
}

export interface Subject {
  readonly backend: Backend;
  readonly turns: CountedTurns;
}

export function openSubject(options: WasmOptions = {}): Subject {
  const turns = new CountedTurns();
  return { backend: wasm({ ...options, nextTurn: turns.next }), turns };
}

/** How one task ended. */
export interface Ending {
  readonly code: string;
  /** Of the events, as hexadecimal digits. */
  readonly stdout: string;
  readonly fuel: number | undefined;
  readonly trap: string | undefined;
  readonly isolation: string | undefined;
}

export interface Kill extends Ending {
  readonly tool: string;
  /** How long after its wall deadline it was over, and the longest that the event loop did not come round meanwhile, in ms. */
  readonly overshootMs: number;
  readonly gapMs: number;
  /** How often the event loop was given a turn. */
  readonly turns: number;
}

export interface BackendReport {
  readonly echo: Ending;
  readonly hardened: Ending;
  readonly kills: readonly Kill[];
  /** By task: each twice. */
  readonly deterministic: Readonly<Record<string, readonly Ending[]>>;
}

export interface Demands {
  readonly endless: readonly string[];
  readonly timeoutMs: number;
  /** By a name of its own. */
  readonly deterministic: Readonly<Record<string, Omit<Task, "tool"> & { readonly tool: string }>>;
}

function fuelOf(limits: readonly LimitReceipt[]): number | undefined {
  return limits.find(({ limit }) => limit === "fuel")?.peak;
}

async function run(runtime: Runtime, task: Task): Promise<Ending> {
  let stdout = "";
  const onEvent: NonNullable<Parameters<Runtime["execute"]>[1]>["onEvent"] = (event) => {
    if (event.type === "stdout") for (const byte of event.bytes) stdout += byte.toString(16).padStart(2, "0");
  };
  try {
    const { exit, exitCode, limits, backend } = await runtime.execute(task, { onEvent });
    const trap = exit.kind === "trapped" ? exit.trap : undefined;
    return { code: `exited ${exitCode}`, stdout, fuel: fuelOf(limits), trap, isolation: backend.isolation };
  } catch (error) {
    if (!(error instanceof ToolRuntimeError)) throw error;
    return { code: error.code, stdout, fuel: fuelOf(error.partial?.limits ?? []), trap: undefined, isolation: undefined };
  }
}

/** The longest that the event loop does not come round, in ms. */
export function watchGaps(): () => number {
  let longest = 0;
  let last = performance.now();
  let timer = setTimeout(look, 0);
  function look(): void {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    timer = setTimeout(look, 0);
  }
  return () => {
    clearTimeout(timer);
    return Math.max(longest, performance.now() - last);
  };
}

interface Attack {
  readonly runtime: Runtime;
  readonly tools: Tools;
  readonly turns: CountedTurns;
  readonly timeoutMs: number;
}

async function kill({ runtime, tools, turns, timeoutMs }: Attack, name: string): Promise<Kill> {
  const stop = watchGaps();
  const [startedAt, asked] = [performance.now(), turns.asked];
  const ending = await run(runtime, { tool: tools.get(name), resources: { timeout: timeoutMs } });
  const overshootMs = performance.now() - startedAt - timeoutMs;
  return { tool: name, ...ending, overshootMs, gapMs: stop(), turns: turns.asked - asked };
}

/** What a backend does on this engine. */
export async function tryBackend({ backend, turns }: Subject, tools: Tools, demands: Demands): Promise<BackendReport> {
  await using runtime = createRuntime({ backend, security: "standard" });
  const echo = await run(runtime, { tool: tools.get("echo"), input: { text: "hello" } });
  const hardened = await run(runtime, { tool: tools.get("echo"), security: "hardened" });
  const kills: Kill[] = [];
  for (const name of demands.endless) {
    // The first run of a module is also its compiler's.
    await run(runtime, { tool: tools.get(name), resources: { timeout: 20 } });
    kills.push(await kill({ runtime, tools, turns, timeoutMs: demands.timeoutMs }, name));
  }
  const deterministic: Record<string, readonly Ending[]> = {};
  for (const [name, { tool, ...task }] of Object.entries(demands.deterministic)) {
    const once = (): Promise<Ending> => run(runtime, { ...task, tool: tools.get(tool) });
    deterministic[name] = [await once(), await once()];
  }
  return { echo, hardened, kills, deterministic };
}
