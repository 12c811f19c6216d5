import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Gate } from "../../src/internal/gate.ts";
import type { Visitor } from "../../src/internal/returns.ts";
import { codeOf, errorOf } from "./support.ts";

const never = new AbortController().signal;

test("lets so many in at once, and the rest in the order in which they came", async () => {
  const gate = new Gate({ running: 2, queued: 10 });
  expect([gate.enter(never), gate.enter(never)]).toEqual([undefined, undefined]);
  const entered: number[] = [];
  const waiting = Array.from({ length: 5 }, async (_, index) => {
    await gate.enter(never);
    entered.push(index);
  });
  expect([gate.running, gate.queued]).toEqual([2, 5]);
  for (let count = 0; count < 5; count++) gate.leave();
  await Promise.all(waiting);
  expect(entered).toEqual([0, 1, 2, 3, 4]);
});

test("a full queue is ERR_QUEUE_FULL, and says when to come again", async () => {
  const gate = new Gate({ running: 1, queued: 1 });
  await gate.enter(never);
  void gate.enter(never);
  const { code, retryable, details } = await errorOf(() => gate.enter(never));
  expect([code, retryable]).toEqual(["ERR_QUEUE_FULL", true]);
  expect(details["retryAfterMs"]).toBeGreaterThan(0);
  expect(await codeOf(() => new Gate({ running: 1, queued: 0 }).enter(never) ?? gate.enter(never))).toBe("ERR_QUEUE_FULL");
});

test("who stops waiting gets his signal's reason and holds no place", async () => {
  const gate = new Gate({ running: 1, queued: 2 });
  await gate.enter(never);
  const leaver = new AbortController();
  const left = gate.enter(leaver.signal);
  const stays = gate.enter(never);
  leaver.abort("gone");
  await expect(left).rejects.toBe("gone");
  expect(gate.queued).toBe(1);
  gate.leave();
  await stays;
  gate.leave();
  expect([gate.running, gate.queued]).toEqual([0, 0]);
});

test("who comes with a signal that is aborted already does not wait", () => {
  const gate = new Gate({ running: 1, queued: 2 });
  expect(() => gate.enter(AbortSignal.abort("late"))).toThrow("late");
  expect([gate.running, gate.queued]).toEqual([0, 0]);
});

test("whatever the order of coming, leaving and giving up, no place is lost and none is made", async () => {
  interface Visit {
    readonly controller: AbortController;
    state: "waiting" | "inside" | "out";
  }
  const actions = fc.array(fc.record({ kind: fc.constantFrom("enter", "leave", "abort", "turn"), pick: fc.nat() }), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 4 }), actions, async (running, queued, steps) => {
      const gate = new Gate({ running, queued });
      const visits: Visit[] = [];
      const refusals: [number, number][] = [];
      const inState = (state: Visit["state"]): Visit[] => visits.filter((visit) => visit.state === state);
      for (const { kind, pick } of steps) {
        if (kind === "enter") {
          const visit: Visit = { controller: new AbortController(), state: "waiting" };
          try {
            const entering = gate.enter(visit.controller.signal);
            visits.push(visit);
            if (entering === undefined) visit.state = "inside";
            else {
              entering.then(
                () => (visit.state = "inside"),
                () => (visit.state = "out"),
              );
            }
          } catch {
            refusals.push([gate.running, gate.queued]);
          }
        } else if (kind === "leave") {
          const inside = inState("inside");
          const visit = inside[pick % Math.max(1, inside.length)];
          if (visit !== undefined) {
            visit.state = "out";
            gate.leave();
          }
        } else if (kind === "abort") {
          const waiting = inState("waiting");
          waiting[pick % Math.max(1, waiting.length)]?.controller.abort();
        }
        if (kind === "turn" || pick % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
        expect(gate.running).toBeLessThanOrEqual(running);
        expect(gate.queued).toBeLessThanOrEqual(queued);
      }
      await new Promise((resolve) => setImmediate(resolve));
      for (const refusal of refusals) expect(refusal).toEqual([running, queued]);
      expect(inState("inside")).toHaveLength(gate.running);
      expect(inState("waiting")).toHaveLength(gate.queued);
      expect(gate.queued === 0 || gate.running === running).toBe(true);
      while (gate.running > 0) gate.leave();
      expect(gate.queued).toBe(0);
    }),
    { numRuns: 300 },
  );
});

/** Has everybody enter, in this order, and says who got a place after each that was left. */
async function order(gate: Gate, visitors: readonly string[]): Promise<string[]> {
  const inside: string[] = [];
  const entering = visitors.map(async (tenant) => {
    await gate.enter(never, { tenant });
    inside.push(tenant);
  });
  for (let left = 0; left < visitors.length; left++) {
    await new Promise((resolve) => setImmediate(resolve));
    const tenant = inside[left];
    if (tenant !== undefined) gate.leave(tenant);
  }
  await Promise.all(entering);
  return inside;
}

test("one tenant with a thousand waiting does not hold up the first of another", async () => {
  const gate = new Gate({ running: 1, queued: 2000 });
  const flood = Array.from({ length: 1000 }, () => "red");
  const inside = await order(gate, [...flood, "blue", "green", "blue", "red"]);
  expect(inside.slice(0, 6)).toEqual(["red", "blue", "green", "red", "blue", "red"]);
  expect(inside).toHaveLength(1004);
});

test("a tenant that fills the queue leaves some of it to those that have nobody there", async () => {
  const gate = new Gate({ running: 1, queued: 16 });
  for (let count = 0; count < 15; count++) void gate.enter(never, { tenant: "red" });
  expect(gate.queued).toBe(14);
  expect(gate.enter(never, { tenant: "blue" })).toBeInstanceOf(Promise);
  expect(await codeOf(() => gate.enter(never, { tenant: "red" }))).toBe("ERR_QUEUE_FULL");
});

test("a tenant holds no more than its quota, and what waits for it holds up nobody", async () => {
  const tenants = { red: { running: 1, queued: 2 }, "*": { running: 2 } };
  const gate = new Gate({ running: 4, queued: 8, tenants });
  expect(gate.enter(never, { tenant: "red" })).toBeUndefined();
  const waiting = [gate.enter(never, { tenant: "red" }), gate.enter(never, { tenant: "red" })];
  expect(await errorOf(() => gate.enter(never, { tenant: "red" }))).toMatchObject({
    code: "ERR_QUEUE_FULL",
    details: { tenant: "red", queued: 2 },
  });
  expect([gate.enter(never, { tenant: "blue" }), gate.enter(never, { tenant: "blue" })]).toEqual([undefined, undefined]);
  // Of those that "*" stands for as much of the queue as of the places.
  for (let count = 0; count < 4; count++) waiting.push(gate.enter(never, { tenant: "blue" }));
  expect(await codeOf(() => gate.enter(never, { tenant: "blue" }))).toBe("ERR_QUEUE_FULL");
  expect(gate.enter(never, { tenant: "green" })).toBeUndefined();
  expect(gate.load).toEqual({ running: 4, capacity: 4, queued: 6, queue: 8 });
  gate.leave("red");
  await waiting[0];
  expect(gate.load).toMatchObject({ running: 4, queued: 5 });
  gate.leave("green");
  // A place is free, and those who wait are all at their quota.
  expect(gate.load).toMatchObject({ running: 3, queued: 5 });
});

test("places that come and go are never more than the limit, nor fewer than one", async () => {
  let capacity: number | undefined = 1;
  const gate = new Gate({ running: 3, queued: 9 }, () => capacity);
  expect(gate.enter(never)).toBeUndefined();
  const waiting = Array.from({ length: 4 }, () => gate.enter(never));
  expect(gate.load).toEqual({ running: 1, capacity: 1, queued: 4, queue: 9 });
  capacity = 7;
  void gate.enter(never);
  await Promise.all(waiting.slice(0, 2));
  expect(gate.load).toEqual({ running: 3, capacity: 3, queued: 3, queue: 9 });
  capacity = 0;
  gate.leave();
  gate.leave();
  expect(gate.load).toEqual({ running: 1, capacity: 1, queued: 3, queue: 9 });
  capacity = undefined;
  gate.leave();
  await Promise.all(waiting);
  expect(gate.load).toEqual({ running: 3, capacity: 3, queued: 0, queue: 9 });
});

test("without a bound there is no capacity to tell", () => {
  expect(new Gate({ running: 2, queued: Number.POSITIVE_INFINITY }).load).toEqual({ running: 0, capacity: 2, queued: 0 });
});

describe("whoever was refused", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"], now: 0 }));
  afterEach(() => void vi.useRealTimers());

  function full(): Gate {
    const gate = new Gate({ running: 1, queued: 8 });
    for (let count = 0; count < 9; count++) void gate.enter(never);
    return gate;
  }

  /** Refused at once, with a time and a ticket. */
  async function refuse(gate: Gate, visitor: Visitor = {}): Promise<{ ticket: string; retryAfterMs: number }> {
    const { details } = await errorOf(() => gate.enter(never, visitor));
    return { ticket: String(details["ticket"]), retryAfterMs: Number(details["retryAfterMs"]) };
  }

  test("has a place when he comes with his ticket at his time, while those who come first have none", async () => {
    const gate = full();
    const { ticket, retryAfterMs } = await refuse(gate);
    expect(retryAfterMs % 1000).toBe(0);
    for (let count = 0; count < 3; count++) gate.leave();
    vi.advanceTimersByTime(retryAfterMs);
    expect(gate.queued).toBe(5);
    await refuse(gate);
    expect(gate.enter(never, { ticket })).toBeInstanceOf(Promise);
    // Once alone.
    expect((await refuse(gate, { ticket })).ticket).not.toBe(ticket);
  });

  test("is told the same when he comes too soon, and by his key is known without a ticket", async () => {
    const gate = full();
    const caller = { name: "order-1", isUnique: true };
    const first = await refuse(gate, { tenant: "red", caller });
    vi.advanceTimersByTime(400);
    const again = await refuse(gate, { tenant: "red", caller });
    expect(again).toEqual(first);
    // The ticket of another tenant is none.
    expect((await refuse(gate, { tenant: "blue", ticket: first.ticket })).ticket).not.toBe(first.ticket);
    for (let count = 0; count < 3; count++) gate.leave();
    vi.advanceTimersByTime(first.retryAfterMs - 400);
    expect(gate.enter(never, { tenant: "red", caller })).toBeInstanceOf(Promise);
  });

  test("is told a later time the more there are, and none waits for those who do not come", async () => {
    const gate = full();
    const times: number[] = [];
    for (let count = 0; count < 50; count++) times.push((await refuse(gate)).retryAfterMs);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times.at(-1)).toBeGreaterThan(5000);
    while (gate.running > 0) gate.leave();
    expect(gate.enter(never)).toBeUndefined();
    vi.advanceTimersByTime(700_000);
    for (let count = 0; count < 8; count++) expect(gate.enter(never)).toBeInstanceOf(Promise);
  });
});
