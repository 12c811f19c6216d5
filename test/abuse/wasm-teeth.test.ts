import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createRegistry } from "../../src/index.ts";
import type { Answer, AttackTarget, AuditRecord } from "./attack-target.ts";
import type { Ended } from "./wasm-attacker.ts";
import { Oracle } from "./wasm-oracle.ts";
import { canary } from "./wasm-target.ts";

/** A service that is right, as far as the oracle looks, but for what is said otherwise. */
class ImitatedTarget implements AttackTarget {
  readonly tools = createRegistry();
  readonly isolation = "wasm";
  readonly log: string[] = [];
  readonly left: string[] = [];
  readonly lines: string[] = [];
  victimMs = 0;
  victimText: string | undefined;
  readyStatus = 200;

  async toolOf(): Promise<string> {
    return "attack";
  }

  nextName(): string {
    return "attack";
  }

  async request(_method: string, path: string, { body }: { readonly body?: unknown } = {}): Promise<Answer> {
    if (path === "/readyz") return { status: this.readyStatus, text: "" };
    await sleep(this.victimMs);
    const { input }: { input?: unknown } = Object(body);
    return { status: 200, text: this.victimText ?? JSON.stringify({ output: input }) };
  }

  auditLines(): string[] {
    return this.lines;
  }

  audit(): readonly AuditRecord[] {
    return this.lines.map((line): AuditRecord => JSON.parse(line));
  }

  leftovers(): string[] {
    return this.left;
  }

  record(event: AuditRecord["event"], outcome?: string): void {
    const record: AuditRecord = { executionId: "ex_1", event, tool: { name: "attack" }, ...(outcome === undefined ? {} : { outcome }) };
    this.lines.push(JSON.stringify(record));
  }
}

const ended: Ended = { id: "ex_1", code: "ERR_LIMIT_TIMEOUT", limits: [], text: "{}", tookMs: 1 };

/** What the oracle says when an attack has done this to the service. */
async function verdict(attack: (target: ImitatedTarget) => void, outcome: Partial<Ended> = {}): Promise<string> {
  const target = new ImitatedTarget();
  const oracle = await Oracle.begin(target, "standard");
  target.record("accepted");
  target.record("ended", "ERR_LIMIT_TIMEOUT");
  attack(target);
  return oracle.holds([{ ...ended, ...outcome }]).then(
    () => "held",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

describe("the oracle of the corpus", () => {
  it("finds nothing where nothing is wrong", async () => {
    expect(await verdict(() => undefined)).toBe("held");
  });

  it.each<[string, (target: ImitatedTarget) => void, RegExp]>([
    ["a process that is left", (target) => target.left.push("process 1"), /what is left/],
    ["a victim that gets somebody else's answer", (target) => (target.victimText = "{}"), /well-behaved calls suffered/],
    ["a victim that waits", (target) => (target.victimMs = 2100), /well-behaved calls suffered/],
    ["a service that is not ready", (target) => (target.readyStatus = 503), /expected 503 to be 200/],
    ["a run that has no end in the audit log", (target) => target.lines.pop(), /to deeply equal/],
    ["a run that the audit log has another end of", (target) => target.record("ended", "OK"), /to deeply equal/],
    ["the canary in the log", (target) => target.log.push(`env ${canary.value}`), /the canary in the log/],
    ["an internal error", (target) => target.log.push("internal error"), /an internal error/],
  ])("finds %s", async (_, attack, reason) => {
    expect(await verdict(attack)).toMatch(reason);
  });

  it("finds the canary in an answer", async () => {
    expect(await verdict(() => undefined, { text: `"${canary.value}"` })).toMatch(/the canary in an answer/);
  });
});
