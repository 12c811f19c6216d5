import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect } from "vitest";
import {
  createRuntime,
  defineTool,
  ToolRuntimeError,
  type Call,
  type Result,
  type SecurityProfile,
  type Task,
  type Tool,
} from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { callingModule } from "./modules/binary.ts";

/** A variable of this process that no tool may see. */
export const canary = { name: "TOOLRUNTIME_CANARY", value: "canary-51c0de" } as const;
process.env[canary.name] = canary.value;

const backend = wasm();
const runtime = createRuntime({ backend, security: "dev" });

/** The profiles that modules in this process serve. */
export const inlineProfiles = ["dev", "standard"] as const;

export function moduleFile(name: string): string {
  return new URL(`modules/${name}.wasm`, import.meta.url).pathname;
}

export function toolOf(bytes: Uint8Array): Promise<Tool> {
  return defineTool(
    { name: "attack", version: "1.0.0", description: "An attack", inputSchema: true, artifacts: { wasm: {} } },
    { wasm: bytes },
  );
}

export function toolFrom(name: string): Promise<Tool> {
  return toolOf(readFileSync(moduleFile(name)));
}

type Outcome = { readonly result: Result } | { readonly error: ToolRuntimeError };

const outcomes: Outcome[] = [];

/** Runs a task and gives back how it ended. Anything but a result or an error of ours fails the test. */
async function attack(task: Task, call: Call): Promise<Outcome> {
  let outcome: Outcome;
  try {
    outcome = { result: await runtime.execute(task, call) };
  } catch (error) {
    if (!(error instanceof ToolRuntimeError)) throw error;
    outcome = { error };
  }
  outcomes.push(outcome);
  return outcome;
}

/** Attacks under one profile. */
export function under(security: SecurityProfile) {
  const run = (task: Task, call: Call = {}): Promise<Outcome> => attack({ security, ...task }, call);
  return {
    async codeOf(task: Task, call?: Call): Promise<string> {
      const outcome = await run(task, call);
      return "error" in outcome ? outcome.error.code : `exited ${outcome.result.exitCode}`;
    },
    async resultOf(task: Task, call?: Call): Promise<Result> {
      const outcome = await run(task, call);
      if ("error" in outcome) throw outcome.error;
      return outcome.result;
    },
    async errorOf(task: Task, call?: Call): Promise<ToolRuntimeError> {
      const outcome = await run(task, call);
      if ("result" in outcome) throw new Error(`the attack ended well, with exit code ${outcome.result.exitCode}`);
      return outcome.error;
    },
  };
}

const greeting = [...new TextEncoder().encode("well")];
const victim = await toolOf(
  callingModule([{ name: "fd_write", args: [1, 0, 1, 32] }], [16, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...greeting]),
);

async function assertVictim(): Promise<void> {
  const before = performance.now();
  const { stdout, exitCode } = await runtime.execute({ tool: victim });
  expect([stdout, exitCode]).toEqual(["well", 0]);
  expect(performance.now() - before).toBeLessThan(2000);
}

/** What must hold after every case, whatever its outcome. */
export function useOracle(): void {
  let victims: Promise<void>[] = [];
  let timer: ReturnType<typeof setInterval> | undefined;
  beforeEach(() => {
    outcomes.length = 0;
    victims = [assertVictim()];
    timer = setInterval(() => victims.push(assertVictim()), 250);
  });
  afterEach(async () => {
    clearInterval(timer);
    await Promise.all([...victims, assertVictim()]);
    const seen = JSON.stringify(outcomes.map((outcome) => ("error" in outcome ? [outcome.error, outcome.error.stack] : outcome.result)));
    expect(seen.includes(canary.value)).toBe(false);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
}
