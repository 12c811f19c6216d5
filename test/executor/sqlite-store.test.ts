import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSqliteExecutions, type SqliteExecutions } from "../../src/adapters/executor/store/sqlite-executions.ts";
import { verifyAudit, type AuditRecord, type Claim, type StoredEvent } from "../../src/store.ts";
import { problemSchema } from "../../src/wire.ts";
import { info, outcome, storeSuite, tool } from "../edge/store-suite.ts";

const folder = mkdtempSync(join(tmpdir(), "toolruntime-state-"));
const opened: SqliteExecutions[] = [];
afterAll(async () => {
  for (const one of opened) await one.close();
  rmSync(folder, { recursive: true });
});

storeSuite("executions in SQLite", (limits = {}) => {
  const store = openSqliteExecutions({ ...limits, folder: join(folder, String(opened.length)) });
  opened.push(store);
  return store;
});

const never = new AbortController().signal;

async function eventsOf(store: SqliteExecutions, id: string): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  for await (const event of store.events("red", id, -1, never)) events.push(event);
  return events;
}

const claim = (store: SqliteExecutions, id: string, executionId = `${id}-again`) =>
  store.claim({ tenant: "red", key: `key-${id}`, fingerprint: "f", executionId });

/** Lets a process write until it has said so often what it kept, and kills it while it writes. */
async function killedWriter(path: string, lines: number): Promise<number> {
  const guest = fileURLToPath(new URL("guests/store-child.ts", import.meta.url));
  const child = spawn(process.execPath, [guest, path], { stdio: ["ignore", "pipe", "inherit"] });
  let said = 0;
  let last = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    last = Number(line);
    if (++said === lines) child.kill("SIGKILL");
  }
  expect(child.signalCode ?? (await once(child, "exit"))[1]).toBe("SIGKILL");
  return last;
}

describe("G7: a store whose process was killed while it wrote", () => {
  const path = join(folder, "killed");
  let told: number;
  let store: SqliteExecutions;
  beforeAll(async () => {
    told = await killedWriter(path, 40);
    store = openSqliteExecutions({ folder: path });
    opened.push(store);
  });

  it("has what had ended, with events, answer and what may be read", async () => {
    expect(await store.get("red", "ended")).toMatchObject({ status: "ended", outcome: { json: '{"kept":"whole"}', seq: 2 }, tool });
    expect(await eventsOf(store, "ended")).toEqual([{ seq: 1, json: '{"type":"started"}' }]);
    expect([await store.mayReadBlob("red", "sha256:1"), await store.mayReadBlob("blue", "sha256:1")]).toEqual([true, false]);
    expect(await store.get("blue", "ended")).toBeUndefined();
  });

  it("gives the kept answer under its key, also where the process was killed before the key had it", async () => {
    expect(await claim(store, "ended")).toMatchObject({ kind: "repeat", executionId: "ended", outcome: { json: '{"kept":"whole"}' } });
    expect(await claim(store, "unsettled")).toMatchObject({ kind: "repeat", outcome: { json: '{"kept":"by its run"}' } });
  });

  it.each([
    ["accepted", false],
    ["starting", true],
    ["running", true],
  ])("has ended with a typed error what was %s", async (id, started) => {
    const state = await store.get("red", id);
    expect(state).toMatchObject({ status: "ended", outcome: { kind: "error", status: 502, isFinal: started } });
    expect(problemSchema.parse(JSON.parse(state?.outcome?.json ?? ""))).toMatchObject({
      code: "ERR_EXECUTION_LOST",
      actor: "platform",
      retryable: true,
      started,
      id,
    });
    expect(store.lost).toContainEqual({ id, hasStarted: started });
  });

  it("lets a run that surely never started be sent again under its key, and no other", async () => {
    for (const id of ["accepted", "unborn"]) expect(await claim(store, id)).toMatchObject({ kind: "first" });
    for (const id of ["starting", "running"]) {
      const again = await claim(store, id);
      expect(again).toMatchObject({ kind: "repeat", executionId: id, outcome: { status: 502 } });
      expect(again.kind === "repeat" && JSON.parse((await again.wait(never)).json)).toMatchObject({ code: "ERR_EXECUTION_LOST" });
    }
  });

  it("has every event that anybody was told of, in order, and the ending after them", async () => {
    const events = await eventsOf(store, "running");
    expect(events.length).toBeGreaterThanOrEqual(told);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect((await store.get("red", "running"))?.outcome?.seq).toBe(events.length + 1);
  });

  it("has a whole audit log, in which each execution that was accepted has ended", async () => {
    await store.create(info("later"));
    store.audit.open({ executionId: "later", tenant: "red", principal: "alice", tool })({ event: "accepted", profile: "dev" });
    await store.end("later", outcome("{}"));
    const lines = [...store.auditLines()];
    expect(await verifyAudit(lines)).toMatchObject({ ok: true, records: lines.length });
    const records = lines.map((line) => JSON.parse(line) as AuditRecord).filter(({ executionId }) => executionId !== "later");
    const of = (name: string) => records.filter(({ event }) => event === name).map(({ executionId }) => executionId);
    expect(of("ended").toSorted()).toEqual(of("accepted").toSorted());
    expect(records.filter(({ outcome: code }) => code === "ERR_EXECUTION_LOST")).toMatchObject([
      { executionId: "accepted", profile: "hardened" },
      { executionId: "starting", profile: "hardened" },
      { executionId: "running", profile: "hardened" },
    ]);
  });
});

describe("a folder of state", () => {
  const open = (name: string, options: object = {}): SqliteExecutions => openSqliteExecutions({ folder: join(folder, name), ...options });
  const errorOf = (work: () => unknown): unknown => {
    try {
      work();
    } catch (error) {
      return error;
    }
    throw new Error("Nothing was thrown");
  };

  it("is for this user alone and for one process at a time, and others may look at it", async () => {
    const store = open("own");
    await store.create(info("a"));
    await store.starting?.("a");
    expect(readdirSync(join(folder, "own")).map((name) => [name, statSync(join(folder, "own", name)).mode & 0o077])).toEqual(
      ["lock", "state.db", "state.db-shm", "state.db-wal"].map((name) => [name, 0]),
    );
    expect(errorOf(() => open("own"))).toMatchObject({ code: "ERR_CONFIG_INVALID", message: expect.stringContaining("another process") });
    using reader = new DatabaseSync(join(folder, "own", "state.db"), { readOnly: true });
    expect(reader.prepare("SELECT id, status FROM executions").all()).toMatchObject([{ id: "a", status: "starting" }]);
    await store.close();
    await open("own").close();
  });

  it("is refused where it holds what is not its own", () => {
    const path = join(folder, "foreign");
    mkdirSync(path);
    writeFileSync(join(path, "state.db"), "this is no database, but a text that is long enough to be taken for one ".repeat(20));
    expect(errorOf(() => open("foreign"))).toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringContaining("not a database"),
    });
    rmSync(join(path, "state.db"));
    const other = new DatabaseSync(join(path, "state.db"));
    other.exec("CREATE TABLE something (x)");
    other.close();
    expect(errorOf(() => open("foreign"))).toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringContaining("somebody else's"),
    });
    writeFileSync(join(folder, "file"), "");
    expect(errorOf(() => open("file"))).toMatchObject({ code: "ERR_CONFIG_INVALID" });
  });

  it("forgets by number and age, over restarts, and the oldest records of the audit log", async () => {
    const limits = { maxExecutions: 3, maxAuditRecords: 1500 };
    const first = open("bounded", limits);
    for (let index = 0; index < 1000; index++) {
      const id = `e${index}`;
      await first.create(info(id));
      const append = first.audit.open({ executionId: id, tenant: "red", principal: "alice", tool });
      for (const event of ["accepted", "started", "ended"] as const) append({ event, profile: "dev" });
      await first.end(id, outcome("{}"));
    }
    expect([await first.get("red", "e996"), (await first.get("red", "e997"))?.status]).toEqual([undefined, "ended"]);
    await first.close();
    const second = open("bounded", limits);
    expect((await second.get("red", "e997"))?.status).toBe("ended");
    const lines = [...second.auditLines()];
    expect(lines.length).toBeLessThanOrEqual(2500);
    expect(await verifyAudit(lines)).toMatchObject({ ok: true });
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ seq: 2999 });
    await second.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const third = open("bounded", { keepMs: 10 });
    expect(await third.get("red", "e997")).toBeUndefined();
    await third.close();
  });

  it("refuses work and harms nothing that runs while nothing can be written, and goes on when it can", async () => {
    const log: string[] = [];
    const claimed = (made: Claim) => (made.kind === "first" ? made : undefined);
    const store = open("full", { log: { info() {}, warn() {}, error: (facts: { step: string }) => void log.push(facts.step) } });
    for (const id of ["running", "ends"]) await store.create(info(id));
    const held = claimed(await claim(store, "ends", "ends"));
    store.audit.open({ executionId: "running", tenant: "red", principal: "alice", tool })({ event: "accepted", profile: "dev" });
    await store.get("red", "running");
    // Whoever holds the file stands for a disk that takes nothing.
    using other = new DatabaseSync(join(folder, "full", "state.db"));
    other.exec("BEGIN IMMEDIATE");
    await expect(store.create(info("refused"))).rejects.toMatchObject({ code: "ERR_BACKEND_UNAVAILABLE" });
    await expect(store.starting?.("refused")).rejects.toMatchObject({ code: "ERR_BACKEND_UNAVAILABLE" });
    store.audit.open({ executionId: "running", tenant: "red", principal: "alice", tool })({ event: "started", profile: "dev" });
    await store.addEvent("running", { seq: 1, json: "{}" });
    expect(await store.get("red", "refused")).toBeUndefined();
    // What ends meanwhile ends for those who wait, and is kept as soon as anything is.
    await store.end("ends", outcome('{"ended":"meanwhile"}'));
    await held?.keep(outcome('{"ended":"meanwhile"}'));
    expect(await eventsOf(store, "ends")).toEqual([]);
    other.exec("ROLLBACK");
    expect(log).toEqual(["add", "end", "settle"]);
    await store.addEvent("running", { seq: 2, json: "{}" });
    await store.end("running", outcome("{}"));
    expect(await store.get("red", "running")).toMatchObject({ status: "ended" });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await store.get("red", "ends")).toMatchObject({ status: "ended", outcome: { json: '{"ended":"meanwhile"}' } });
    expect(await claim(store, "ends")).toMatchObject({ kind: "repeat", outcome: { json: '{"ended":"meanwhile"}' } });
    const lines = [...store.auditLines()];
    expect(lines).toHaveLength(2);
    expect(await verifyAudit(lines)).toMatchObject({ ok: true });
    await store.close();
  });
});
