import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { SecurityProfile } from "../../src/index.ts";
import type { Ended } from "./wasm-attacker.ts";
import type { AttackTarget } from "./attack-target.ts";
import { canary, openSockets } from "./wasm-target.ts";

/** A request of somebody else may take so long while an attack goes on, in ms. */
const victimMostMs = 2000;
const victimPauseMs = 300;
/** How long what a run has started may take to be gone, in ms. */
const goneMostMs = 2000;

/** Well-behaved calls of one tool in one profile, one after the other, while an attack goes on. */
class Victim {
  readonly #target: AttackTarget;
  readonly #security: SecurityProfile;
  readonly #stop = new AbortController();
  readonly #problems: string[] = [];
  readonly #loop: Promise<void>;
  #calls = 0;

  constructor(target: AttackTarget, security: SecurityProfile) {
    this.#target = target;
    this.#security = security;
    this.#loop = this.#callAgain();
  }

  /** One call more, and what all of them suffered. */
  async stop(): Promise<readonly string[]> {
    this.#stop.abort();
    await this.#loop;
    await this.#call();
    return this.#problems;
  }

  async #callAgain(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#call();
      await sleep(victimPauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #call(): Promise<void> {
    const input = { call: this.#calls++, nonce: crypto.randomUUID() };
    const before = performance.now();
    const { status, text } = await this.#target.request("POST", "/v1/executions", {
      body: { tool: "victim", input, security: this.#security },
    });
    const tookMs = Math.round(performance.now() - before);
    const own = JSON.stringify(input);
    if (status !== 200 || !text.includes(own)) this.#problems.push(`${this.#security}: ${status} ${text.slice(0, 300)}`);
    if (tookMs > victimMostMs) this.#problems.push(`${this.#security}: it took ${tookMs} ms`);
  }
}

/** What must hold after every case, whatever its outcome. */
export class Oracle {
  readonly #target: AttackTarget;
  readonly #victims: readonly Victim[];
  readonly #sockets: number;
  readonly #seenLog: number;
  readonly #seenAudit: number;

  private constructor(target: AttackTarget, profile: SecurityProfile) {
    this.#target = target;
    this.#sockets = openSockets();
    this.#seenLog = target.log.length;
    this.#seenAudit = target.auditLines().length;
    // Beside a process of its own, what the service runs in its own goes on too.
    const beside: readonly SecurityProfile[] = profile === "hardened" ? ["hardened", "standard"] : [profile];
    this.#victims = beside.map((one) => new Victim(target, one));
  }

  static async begin(target: AttackTarget, profile: SecurityProfile): Promise<Oracle> {
    await nothingLeft(target, undefined);
    return new Oracle(target, profile);
  }

  async holds(ended: readonly Ended[]): Promise<void> {
    const target = this.#target;
    const problems = (await Promise.all(this.#victims.map((victim) => victim.stop()))).flat();
    expect(problems, "what well-behaved calls suffered").toEqual([]);
    expect((await target.request("GET", "/readyz")).status).toBe(200);
    await nothingLeft(target, this.#sockets);
    this.#inAudit(ended);
    const written = [...target.log.slice(this.#seenLog), ...target.auditLines().slice(this.#seenAudit)].join("\n");
    expect(written.includes(canary.value), "the canary in the log or in the audit log").toBe(false);
    expect(written.includes("internal error"), "an internal error in the log").toBe(false);
    expect(
      ended.some(({ text }) => text.includes(canary.value)),
      "the canary in an answer",
    ).toBe(false);
    expect(Object.keys(Object.prototype)).toEqual([]);
  }

  /** Each run has been accepted, and has come to the end that its caller was told. */
  #inAudit(ended: readonly Ended[]): void {
    const records = this.#target.audit().slice(this.#seenAudit);
    const ends = new Map(records.flatMap(({ event, executionId, outcome }) => (event === "ended" ? [[executionId, outcome]] : [])));
    expect(records.filter(({ event, executionId }) => event === "accepted" && !ends.has(executionId))).toEqual([]);
    for (const { id, code, result } of ended) expect([id, ends.get(id)]).toEqual([id, result === undefined ? code : "OK"]);
  }
}

/** Polls until nothing is there that a run can have left. */
async function nothingLeft(target: AttackTarget, sockets: number | undefined): Promise<void> {
  const until = performance.now() + goneMostMs;
  for (;;) {
    const left = target.leftovers();
    const isClosed = sockets === undefined || openSockets() <= sockets;
    if (left.length === 0 && isClosed) return;
    if (performance.now() > until) expect({ left, sockets: openSockets() }, "what is left").toEqual({ left: [], sockets });
    await sleep(40);
  }
}
