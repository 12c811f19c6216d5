import type { MutableRegistry, Tool } from "../../src/index.ts";

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export interface AuditRecord {
  readonly executionId: string;
  readonly event: "accepted" | "started" | "ended";
  readonly tool: { readonly name: string };
  readonly outcome?: string;
}

/** A service under attack, wherever it runs. */
export interface AttackTarget {
  /** What runs in dev and standard are isolated by; those in hardened have a process of their own. */
  readonly isolation: string;
  readonly tools: Pick<MutableRegistry, "remove">;
  /** What it wrote, line by line. */
  readonly log: readonly string[];
  /** Registers an attack under a name of its own; the same bytes are the same tool. */
  toolOf(attack: Uint8Array | (() => Promise<Tool>)): Promise<string>;
  nextName(): string;
  request(method: string, path: string, settings?: { readonly body?: unknown; readonly signal?: AbortSignal }): Promise<Answer>;
  /** All records so far. */
  audit(): readonly AuditRecord[];
  auditLines(): readonly string[];
  /** What a run can leave on the machine and is there right now, besides what waits for the next run. */
  leftovers(): readonly string[];
}
