import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { reapAll } from "../../src/adapters/executor/leftovers.ts";
import type { ReapReport } from "../../src/backend.ts";
import type { Log } from "../../src/edge/index.ts";
import { ToolRuntimeError } from "../../src/errors.ts";
import { createAuditLog, verifyAudit } from "../../src/store.ts";
import { scriptedBackend } from "../unit/support.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

function reapingBackend(name: string, ...reports: (ReapReport | ToolRuntimeError)[]) {
  let asked = 0;
  const reap = async (): Promise<ReapReport> => {
    const report = reports[Math.min(asked++, reports.length - 1)] ?? { removed: [] };
    if (report instanceof ToolRuntimeError) throw report;
    return report;
  };
  return { ...scriptedBackend(), name, reap, asked: () => asked };
}

function opened() {
  const said: object[] = [];
  const log: Log = { info() {}, warn: (facts) => void said.push(facts), error() {} };
  return { log, said, audit: createAuditLog() };
}

const down = new ToolRuntimeError("ERR_BACKEND_UNAVAILABLE", "its daemon does not answer");

it("notes what each backend removed, in log and audit log", async () => {
  const { log, said, audit } = opened();
  const many = Array.from({ length: 150 }, (_, index) => `container ${index}`);
  const { reaped, stop } = await reapAll([reapingBackend("one", { removed: many }), reapingBackend("other", { removed: [] })], {
    log,
    audit,
  });
  stop();
  expect(reaped).toEqual([{ backend: "one", removed: many }]);
  const facts = { backend: "one", removed: many.slice(0, 100), count: 150 };
  expect(said).toEqual([facts]);
  audit.open({ executionId: "a", tenant: "red", principal: "p", tool: { name: "t", version: "1.0.0", digest: "sha256:1" } })({
    event: "accepted",
    profile: "dev",
  });
  await audit.flush();
  expect(JSON.parse(audit.lines()[0] ?? "")).toMatchObject({ v: 1, seq: 0, event: "reaped", ...facts });
  expect(await verifyAudit(audit.lines())).toMatchObject({ ok: true, records: 2 });
});

it("asks a backend again that could not look, until it has looked", async () => {
  const { log, said, audit } = opened();
  const backend = reapingBackend("late", down, down, { removed: ["folder x"] });
  const { reaped } = await reapAll([backend], { log, audit });
  expect(reaped).toEqual([]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(backend.asked()).toBe(3);
  expect(said).toEqual([
    { backend: "late", code: "ERR_BACKEND_UNAVAILABLE" },
    { backend: "late", code: "ERR_BACKEND_UNAVAILABLE" },
    { backend: "late", removed: ["folder x"], count: 1 },
  ]);
});

it("asks no more once it was stopped", async () => {
  const backend = reapingBackend("never", down);
  const { stop } = await reapAll([backend], opened());
  await vi.advanceTimersByTimeAsync(15_000);
  stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(backend.asked()).toBe(2);
});
