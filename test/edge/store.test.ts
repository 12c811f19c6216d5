import { describe, expect, it } from "vitest";
import { createAuditLog, memoryExecutionStore, verifyAudit, type ExecutionInfo, type Outcome } from "../../src/store.ts";
import { sha256 } from "../../src/internal/digest.ts";

const tool = { name: "echo", version: "1.0.0", digest: `sha256:${"1".repeat(64)}` } as const;
const info = (id: string, tenant = "red"): ExecutionInfo => ({
  id,
  tenant,
  principal: "alice",
  tool,
  createdAt: "2026-01-01T00:00:00.000Z",
});
const outcome = (json: string): Outcome => ({ kind: "result", status: 200, json, seq: 1, isFinal: true });
const never = new AbortController().signal;

describe("the memory of executions", () => {
  it("forgets what ended longest ago, never what still runs", async () => {
    const store = memoryExecutionStore({ maxExecutions: 3 });
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

  it("is bounded by the size of what it keeps", async () => {
    const store = memoryExecutionStore({ maxCharacters: 1000 });
    for (const id of ["a", "b", "c"]) {
      await store.create(info(id));
      await store.addEvent(id, { seq: 1, json: "x".repeat(200) });
      await store.end(id, outcome("y".repeat(200)));
    }
    expect([await store.get("red", "a"), await store.get("red", "c")]).toMatchObject([undefined, { status: "ended" }]);
  });

  it("shows nothing to another tenant", async () => {
    const store = memoryExecutionStore();
    await store.create(info("a"));
    expect(await store.get("blue", "a")).toBeUndefined();
    await store.addEvent("a", { seq: 1, json: "{}" });
    const seen = [];
    for await (const event of store.events("blue", "a", -1, never)) seen.push(event);
    expect(seen).toEqual([]);
  });

  it("gives events that come while somebody waits, and lets him go", async () => {
    const store = memoryExecutionStore();
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
    const store = memoryExecutionStore({ maxIdempotencyKeys: 2, idempotencyMs: 50 });
    const claim = async (key: string) => store.claim({ tenant: "red", key, fingerprint: "f", executionId: key });
    const [a, b, c] = [await claim("a"), await claim("b"), await claim("c")];
    expect([a.kind, b.kind, c.kind]).toEqual(["first", "first", "first"]);
    expect((await claim("a")).kind).toBe("repeat");
    for (const one of [a, b, c]) if (one.kind === "first") await one.keep(outcome("{}"));
    expect((await claim("a")).kind).toBe("first");
    expect((await claim("c")).kind).toBe("repeat");
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect((await claim("c")).kind).toBe("first");
  });
});

describe("the audit log", () => {
  const write = (log: ReturnType<typeof createAuditLog>): void => {
    const note = log.open({ executionId: "ex_1", tenant: "red", principal: 'ali"ce\n', tool });
    note({ event: "accepted", profile: "dev", requested: { memory: "64Mi" } });
    note({ event: "started", profile: "dev" });
    note({ event: "ended", profile: "dev", outcome: "OK", exitCode: 0 });
  };

  it.each([
    ["WebCrypto", {}],
    ["a hash that answers at once", { hash: undefined }],
  ])("is a chain of records that anybody can check, with %s", async (_, options) => {
    const { createHash } = await import("node:crypto");
    const hash = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}` as const;
    const lines: string[] = [];
    const log = createAuditLog({ sinks: [(line) => void lines.push(line)], ...("hash" in options ? { hash } : {}) });
    write(log);
    write(log);
    await log.flush();
    expect(lines).toHaveLength(6);
    expect(log.lines()).toEqual(lines);
    expect(await verifyAudit(lines)).toMatchObject({ ok: true, records: 6 });
    // By hand, as docs/audit.md has it: the hash is over the line without its last member.
    for (const line of lines) {
      const record = JSON.parse(line) as { hash: string };
      expect(await sha256(line.replace(`,"hash":"${record.hash}"}`, "}"))).toBe(record.hash);
    }
  });

  it("goes on with a log that is there", async () => {
    const first = createAuditLog();
    write(first);
    await first.flush();
    const lines = [...first.lines()];
    const second = createAuditLog({ last: lines.at(-1) ?? "" });
    write(second);
    await second.flush();
    expect(await verifyAudit([...lines, ...second.lines()])).toMatchObject({ ok: true, records: 6 });
  });

  it("shows each change: a word, a line taken out, put in, swapped, cut", async () => {
    const log = createAuditLog();
    write(log);
    await log.flush();
    const lines = log.lines();
    const [a = "", b = "", c = ""] = lines;
    expect(await verifyAudit([a, b.replace("started", "Started"), c])).toMatchObject({ ok: false, line: 2 });
    expect(await verifyAudit([a, c])).toMatchObject({ ok: false, line: 2 });
    expect(await verifyAudit([a, a, b, c])).toMatchObject({ ok: false, line: 2 });
    expect(await verifyAudit([b, a, c])).toMatchObject({ ok: false, line: 2 });
    expect(await verifyAudit([a, b.slice(0, -3), c])).toMatchObject({ ok: false, line: 2 });
    expect(await verifyAudit([a, "", c])).toMatchObject({ ok: false, line: 2 });
    expect(await verifyAudit([b, c])).toMatchObject({ ok: true });
  });
});
