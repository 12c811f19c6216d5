import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { tokenBuckets, type Identity } from "../../src/edge/index.ts";
import { ToolRuntimeError } from "../../src/index.ts";
import { capacitySchema } from "../../src/wire.ts";
import { bearer, openService, problemOf, tokens } from "./support.ts";

const alice: Identity = { tenant: "red", principal: "alice", scopes: ["run"] };
const carol: Identity = { ...alice, principal: "carol" };
const bob: Identity = { ...alice, tenant: "blue", principal: "bob" };

describe("token buckets", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
  afterEach(() => void vi.useRealTimers());

  /** How many of so many requests are let through. */
  function passed(count: number, request: () => void): number {
    let through = 0;
    for (let index = 0; index < count; index++) {
      try {
        request();
        through++;
      } catch (error) {
        if (!(error instanceof ToolRuntimeError) || error.code !== "ERR_RATE_LIMITED" || !error.retryable) throw error;
      }
    }
    return through;
  }

  it("give a burst after a rest, then so many a minute, and say when there is one again", () => {
    const limit = tokenBuckets({ red: { together: { perMinute: 60, burst: 5 } } });
    expect(passed(20, () => limit(alice))).toBe(5);
    expect(() => limit(alice)).toThrow(expect.objectContaining({ details: { retryAfterMs: 1000, perMinute: 60 } }));
    vi.advanceTimersByTime(999);
    expect(passed(1, () => limit(alice))).toBe(0);
    vi.advanceTimersByTime(1);
    expect(passed(20, () => limit(alice))).toBe(1);
    vi.advanceTimersByTime(60_000);
    expect(passed(20, () => limit(alice))).toBe(5);
  });

  it("count a tenant's callers together or each, and leave others alone", () => {
    const together = tokenBuckets({ red: { together: { perMinute: 60, burst: 4 } } });
    expect(passed(10, () => together(alice)) + passed(10, () => together(carol))).toBe(4);
    expect(passed(10, () => together(bob))).toBe(10);
    const each = tokenBuckets({ "*": { each: { perMinute: 60, burst: 4 } }, blue: {} });
    expect([passed(10, () => each(alice)), passed(10, () => each(carol)), passed(10, () => each(bob))]).toEqual([4, 4, 10]);
  });

  it("remember a bounded number of callers", () => {
    const limit = tokenBuckets({ "*": { each: { perMinute: 1, burst: 1 } } });
    void limit(alice);
    for (let index = 0; index < 10_000; index++) void limit({ ...alice, principal: String(index) });
    expect(passed(1, () => limit(alice))).toBe(1);
    expect(passed(1, () => limit({ ...alice, principal: "9999" }))).toBe(0);
  });
});

describe("a service with tenants", () => {
  it("holds them to their rates, over HTTP", async () => {
    const tenants = { red: { perKey: { perMinute: 6, burst: 2 } } };
    const { get, post, url } = await openService({ tokens: Object.values(tokens), tenants });
    expect((await post({ tool: "echo" }, bearer("alice"))).status).toBe(200);
    expect((await get("/v1/tools", bearer("alice"))).status).toBe(200);
    const refused = await post({ tool: "echo" }, bearer("alice"));
    expect(await problemOf(refused)).toMatchObject({ code: "ERR_RATE_LIMITED", actor: "caller", started: false });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(9);
    // What ends a run, or keeps it going, is not counted.
    expect((await fetch(`${url}/v1/executions/ex_1`, { method: "DELETE", headers: bearer("alice") })).status).toBe(404);
    expect((await get("/v1/tools", bearer("reader"))).status).toBe(200);
    for (let count = 0; count < 5; count++) expect((await get("/v1/tools", bearer("bob"))).status).toBe(200);
  });

  it("holds them to their quotas, and says how full it is to those whom it knows", async () => {
    const tenants = { red: { running: 1, queued: 0 } };
    const config = { tokens: Object.values(tokens), tenants, concurrency: { running: 3, queued: 5 } };
    const { get, post, service } = await openService(config, { slow: "sleep 30" });
    const leaving = new AbortController();
    const running = post({ tool: "slow" }, bearer("alice"), leaving.signal).catch(() => undefined);
    await vi.waitFor(
      () => expect(service.runtime.load()).toContainEqual({ backend: "unsafe", running: 1, capacity: 3, queued: 0, queue: 5 }),
      5000,
    );
    expect(await problemOf(await post({ tool: "slow" }, bearer("alice")))).toMatchObject({
      code: "ERR_QUEUE_FULL",
      details: { tenant: "red" },
    });
    const others = post({ tool: "slow" }, bearer("bob"), leaving.signal).catch(() => undefined);
    await vi.waitFor(async () => {
      const answer = await get("/v1/capacity", bearer("reader"));
      expect(answer.headers.get("toolruntime-load")).toBe("running=2, capacity=6, queued=0, queue=10");
      expect(capacitySchema.parse(await answer.json())).toEqual({
        draining: false,
        backends: [
          { backend: "wasm", running: 0, capacity: 3, queued: 0, queue: 5 },
          { backend: "unsafe", running: 2, capacity: 3, queued: 0, queue: 5 },
        ],
      });
    }, 5000);
    const nobody = await get("/v1/capacity");
    expect([nobody.status, nobody.headers.has("toolruntime-load")]).toEqual([401, false]);
    expect((await get("/livez")).headers.has("toolruntime-load")).toBe(false);
    leaving.abort();
    await Promise.all([running, others]);
  });
});
