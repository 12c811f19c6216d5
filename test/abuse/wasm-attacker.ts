import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { Limit, LimitReceipt, SecurityProfile, Tool } from "../../src/index.ts";
import { problemSchema, resultSchema, type ExecutionRequest, type Problem, type WireResult } from "../../src/wire.ts";
import type { AttackTarget } from "./attack-target.ts";

/** A module, the name of one in `modules`, or a tool that was made otherwise; and what it is called with. */
export interface Attack extends Partial<Omit<ExecutionRequest, "tool" | "security">> {
  readonly module: Uint8Array | string | (() => Promise<Tool>);
}

/** What became of an attack. */
export interface Ended {
  readonly id: string;
  /** `exited 0`, `trapped abi`, or an error's code. */
  readonly code: string;
  readonly result?: WireResult;
  readonly problem?: Problem;
  readonly limits: readonly LimitReceipt[];
  /** The whole answer. */
  readonly text: string;
  readonly tookMs: number;
}

/** What a case attacks with: calls of the service under one profile. */
export class Attacker {
  readonly profile: SecurityProfile;
  /** Whether modules run in a process of their own. */
  readonly hasProcess: boolean;
  /** How many runs of one case go on at once: the victims have places of their own. */
  readonly width: number;
  readonly ended: Ended[] = [];
  readonly #target: AttackTarget;

  constructor(target: AttackTarget, profile: SecurityProfile) {
    this.#target = target;
    this.profile = profile;
    this.hasProcess = profile === "hardened";
    this.width = this.hasProcess ? 3 : 6;
  }

  get target(): AttackTarget {
    return this.#target;
  }

  async run({ module, ...request }: Attack): Promise<Ended> {
    const tool = await this.#target.toolOf(typeof module === "string" ? moduleBytes(module) : module);
    const before = performance.now();
    const { status, text } = await this.#target.request("POST", "/v1/executions", { body: { ...request, tool, security: this.profile } });
    const tookMs = performance.now() - before;
    const answer: unknown = JSON.parse(text);
    const ended = status === 200 ? endOfResult(resultSchema.parse(answer)) : endOfProblem(problemSchema.parse(answer));
    if (ended.result !== undefined) {
      const { profile, isolation, network } = ended.result.backend;
      expect([profile, isolation, network]).toEqual([this.profile, this.hasProcess ? "wasm-process" : this.#target.isolation, "none"]);
    }
    const whole = { ...ended, text, tookMs };
    this.ended.push(whole);
    return whole;
  }

  async codeOf(attack: Attack): Promise<string> {
    return (await this.run(attack)).code;
  }

  /** Runs all of them, so many at once, and gives what became of each under its name. */
  async all(attacks: Readonly<Record<string, Attack>>): Promise<Record<string, Ended>> {
    const queue = Object.entries(attacks).values();
    const ended: Record<string, Ended> = {};
    const work = async (): Promise<void> => {
      for (const [name, attack] of queue) ended[name] = await this.run(attack);
    };
    await Promise.all(Array.from({ length: this.width }, work));
    return ended;
  }

  /** As `all`, with codes alone. */
  async codesOf(attacks: Readonly<Record<string, Attack>>): Promise<Record<string, string>> {
    const ended = await this.all(attacks);
    return Object.fromEntries(Object.keys(attacks).map((name) => [name, ended[name]?.code ?? ""]));
  }

  /** Begins a run and leaves once the guest runs. Settles when the audit log says that it has ended, with the outcome. */
  async leave({ module, ...request }: Attack): Promise<string | undefined> {
    const tool = await this.#target.toolOf(typeof module === "string" ? moduleBytes(module) : module);
    const of = (event: string) => this.#target.audit().filter((one) => one.event === event && one.tool.name === tool);
    const [started, ended] = [of("started").length, of("ended").length];
    const stop = new AbortController();
    const body = { ...request, tool, security: this.profile };
    const sent = this.#target.request("POST", "/v1/executions", { body, signal: stop.signal }).catch(() => undefined);
    await untilTrue("it has started", () => of("started").length > started, 10_000);
    await sleep(50);
    stop.abort();
    await sent;
    await untilTrue("it has ended", () => of("ended").length > ended, 2000);
    return of("ended").at(-1)?.outcome;
  }
}

async function untilTrue(what: string, holds: () => boolean, mostMs: number): Promise<void> {
  const until = performance.now() + mostMs;
  while (!holds()) {
    if (performance.now() > until) throw new Error(`Not within ${mostMs} ms: ${what}`);
    await sleep(10);
  }
}

type Outcome = Omit<Ended, "text" | "tookMs">;

function endOfResult(result: WireResult): Outcome {
  const { id, exit, limits } = result;
  const code = exit.kind === "exited" ? `exited ${exit.code}` : exit.kind === "trapped" ? `trapped ${exit.trap}` : exit.signal;
  return { id, code, result, limits };
}

function endOfProblem(problem: Problem): Outcome {
  const { id = "", code, partial } = problem;
  return { id, code, problem, limits: partial?.limits ?? [] };
}

export function receiptOf({ limits }: Pick<Ended, "limits">, limit: Limit): LimitReceipt {
  const receipt = limits.find((one) => one.limit === limit);
  if (receipt === undefined) throw new Error(`there is no receipt of ${limit}`);
  return receipt;
}

const files = new URL("modules/", import.meta.url);
const read = new Map<string, Uint8Array>();

/** The bytes of a module, the same ones each time. */
function moduleBytes(name: string): Uint8Array {
  const bytes = read.get(name) ?? readFileSync(new URL(`${name}.wasm`, files));
  read.set(name, bytes);
  return bytes;
}
