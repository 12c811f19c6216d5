import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { expect } from "vitest";
import type { Worker } from "../../../bench/engines.ts";

/** A variable of the worker's that no tool may see. */
export const canary = { name: "TOOLRUNTIME_CANARY", value: "canary-51c0de" } as const;

/** A request of somebody else may take so long while an attack goes on, in ms. */
const victimMostMs = 2000;
const victimPauseMs = 20;
/** How long what a run has started may take to be gone, and a guest to be still, in ms. */
const goneMostMs = 2000;
const stillMs = 60;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Ticks of a hundredth of a second that the process has used. */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

/** Children, and open files that are no sockets: those of keep-alive connections come and go. */
function holdings(pid: number): string[] {
  const files = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
  return [
    ...files.filter((file) => !file.startsWith("socket:")),
    ...children.filter((child) => child !== "").map((child) => `child ${child}`),
  ];
}

export function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
}

export interface Suffering {
  readonly calls: number;
  readonly slowestMs: number;
}

/** What must hold while an attack goes on, and after it, whatever its outcome. */
export class Oracle {
  readonly #worker: Worker;
  readonly #before: ReadonlySet<string>;
  readonly #seen: string[] = [];

  constructor(worker: Worker) {
    this.#worker = worker;
    this.#before = new Set(this.#hasProc ? holdings(worker.pid) : []);
  }

  get #hasProc(): boolean {
    return existsSync(`/proc/${this.#worker.pid}/stat`);
  }

  /** Takes what a caller was given. */
  see(text: string): void {
    this.#seen.push(text);
  }

  /** Well-behaved calls, one after the other, until the work is done. */
  async withVictim<T>(work: () => Promise<T>): Promise<{ readonly value: T; readonly suffering: Suffering }> {
    const times: number[] = [];
    let isOver = false;
    const victim = (async () => {
      do {
        const nonce = crypto.randomUUID();
        const before = performance.now();
        const text = await (await fetch(`${this.#worker.url}/victim?nonce=${nonce}`)).text();
        times.push(performance.now() - before);
        expect(text).toBe(JSON.stringify({ nonce }));
        await pause(victimPauseMs);
      } while (!isOver);
    })();
    let value: T;
    try {
      value = await work();
    } finally {
      isOver = true;
      await victim;
    }
    const slowestMs = Math.max(...times);
    expect(slowestMs).toBeLessThan(victimMostMs);
    return { value, suffering: { calls: times.length, slowestMs } };
  }

  async holds(): Promise<void> {
    const probes: unknown = await (await fetch(`${this.#worker.url}/readyz`)).json();
    expect(probes).toMatchObject([{ status: "ready" }]);
    for (const text of [...this.#seen, this.#worker.logged()]) expect(text.includes(canary.value)).toBe(false);
    if (!this.#hasProc) return;
    const until = performance.now() + goneMostMs;
    while (!(await this.#isStill())) expect(performance.now()).toBeLessThan(until);
    expect(holdings(this.#worker.pid).filter((one) => !this.#before.has(one))).toEqual([]);
  }

  /** Whether nothing runs any more: a guest that goes on keeps a core busy. */
  async #isStill(): Promise<boolean> {
    const before = cpuTicks(this.#worker.pid);
    await pause(stillMs);
    return cpuTicks(this.#worker.pid) - before <= 2;
  }
}
