import { describe, expect, it } from "vitest";
import type { ExecutionInfo, ExecutionStore, MemoryExecutionStoreOptions, Outcome } from "../../src/store.ts";

export const tool = { name: "echo", version: "1.0.0", digest: `sha256:${"1".repeat(64)}` } as const;
export const info = (id: string, tenant = "red"): ExecutionInfo => ({
  id,
  tenant,
  principal: "alice",
  tool,
  createdAt: "2026-01-01T00:00:00.000Z",
});
export const outcome = (json: string): Outcome => ({ kind: "result", status: 200, json, seq: 1, isFinal: true });
const never = new AbortController().signal;

/** What holds for every store; `open` gives a fresh one each time. */
export function storeSuite(name: string, open: (options?: MemoryExecutionStoreOptions) => ExecutionStore): void {
  describe(name, () => {
    it("forgets what ended longest ago, never what still runs", async () => {
      const store = open({ maxExecutions: 3 });
      for (const id of ["a", "b", "c", "d", "e"]) await store.create(info(id));
      expect(await store.get("red", "a")).toBeDefined();
      await store.end("b", outcome("{}"));
      await store.end("a", outcome("{}"));
      expect(await store.get("red", "b")).toBeUndefined();
      expect(await store.get("red", "a")).toBeUndefined();
      await store.end("c", outcome("{}"));
      expect(await store.get("red", "c")).toMatchObject({ status: "ended" });
      expect(await store.get("red", "d")).toMatchObject({ status: "accepted" });
    });

    it("does not remember who was sent away for want of room, and lets nobody be pushed out by them", async () => {
      const store = open({ maxExecutions: 1 });
      await store.create(info("a"));
      await store.end("a", outcome("{}"));
      for (let index = 0; index < 10; index++) {
        await store.create(info(`away-${index}`));
        await store.addEvent(`away-${index}`, { seq: 1, json: "{}" });
        await store.end(`away-${index}`, { ...outcome("{}"), kind: "error", status: 429, isFinal: false });
      }
      expect(await store.get("red", "a")).toMatchObject({ status: "ended" });
      expect(await store.get("red", "away-9")).toBeUndefined();
      const seen = [];
      for await (const event of store.events("red", "away-9", -1, never)) seen.push(event);
      expect(seen).toEqual([]);
    });

    it("is bounded by the size of what it keeps", async () => {
      const store = open({ maxCharacters: 1000 });
      for (const id of ["a", "b", "c"]) {
        await store.create(info(id));
        await store.addEvent(id, { seq: 1, json: "x".repeat(200) });
        await store.end(id, outcome("y".repeat(200)));
      }
      expect([await store.get("red", "a"), await store.get("red", "c")]).toMatchObject([undefined, { status: "ended" }]);
    });

    it("shows nothing to another tenant", async () => {
      const store = open();
      await store.create(info("a"));
      expect(await store.get("blue", "a")).toBeUndefined();
      await store.addEvent("a", { seq: 1, json: "{}" });
      const seen = [];
      for await (const event of store.events("blue", "a", -1, never)) seen.push(event);
      expect(seen).toEqual([]);
    });

    it("gives events that come while somebody waits, and lets him go", async () => {
      const store = open();
      await store.create(info("a"));
      const gone = new AbortController();
      const read = async (signal: AbortSignal): Promise<number[]> => {
        const seen: number[] = [];
        for await (const { seq } of store.events("red", "a", 0, signal)) seen.push(seq);
        return seen;
      };
      const whole = read(never);
      const half = read(gone.signal);
      await store.addEvent("a", { seq: 1, json: "{}" });
      await new Promise((resolve) => setTimeout(resolve, 10));
      gone.abort();
      expect(await half).toEqual([1]);
      await store.addEvent("a", { seq: 2, json: "{}" });
      await store.end("a", outcome("{}"));
      expect(await whole).toEqual([1, 2]);
    });

    it("drops idempotency keys by number and age, and none whose run goes on", async () => {
      const store = open({ maxIdempotencyKeys: 2, idempotencyMs: 1500 });
      const claim = async (key: string) => store.claim({ tenant: "red", key, fingerprint: "f", executionId: key });
      const [a, b, c] = [await claim("a"), await claim("b"), await claim("c")];
      expect([a.kind, b.kind, c.kind]).toEqual(["first", "first", "first"]);
      expect((await claim("a")).kind).toBe("repeat");
      for (const one of [a, b, c]) if (one.kind === "first") await one.keep(outcome("{}"));
      expect((await claim("a")).kind).toBe("first");
      expect((await claim("c")).kind).toBe("repeat");
      await new Promise((resolve) => setTimeout(resolve, 1600));
      expect((await claim("c")).kind).toBe("first");
    });
  });
}
