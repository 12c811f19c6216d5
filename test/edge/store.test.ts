import { describe, expect, it } from "vitest";
import { createAuditLog, memoryExecutionStore, verifyAudit } from "../../src/store.ts";
import { sha256 } from "../../src/internal/digest.ts";
import { storeSuite, tool } from "./store-suite.ts";

storeSuite("the memory of executions", memoryExecutionStore);

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
