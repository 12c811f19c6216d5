import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Gate } from "../../src/internal/gate.ts";
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
