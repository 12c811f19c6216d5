import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { bearer, openService, problemOf, tokens, until, type Opened } from "./support.ts";

const mark = "61.0725";
const scripts = { slow: `sleep ${mark}`, short: "sleep 2.5; echo done" };

function sleepers(): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(mark);
    } catch {
      return false;
    }
  });
}

function renew({ url }: Opened, id: string, ttlMs: number, headers: Record<string, string> = {}): Promise<Response> {
  const body = JSON.stringify({ ttlMs });
  return fetch(`${url}/v1/leases/${id}`, { method: "PUT", headers: { "content-type": "application/json", ...headers }, body });
}

const under = (lease: string): Record<string, string> => ({ "toolruntime-lease": lease });

describe("a lease", () => {
  it("that nobody renews ends its runs, and nothing of them is left", async () => {
    const opened = await openService({}, scripts);
    expect(await (await renew(opened, "edge-1", 1000)).json()).toEqual({ id: "edge-1", ttlMs: 1000, executions: 0 });
    const [blocking, streaming] = await Promise.all([
      opened.post({ tool: "slow" }, under("edge-1")),
      opened.post({ tool: "slow" }, { ...under("edge-1"), accept: "application/x-ndjson" }).then((answer) => answer.text()),
    ]);
    expect(await problemOf(blocking)).toMatchObject({
      code: "ERR_LEASE_EXPIRED",
      status: 504,
      started: true,
      retryable: true,
      actor: "platform",
    });
    expect(streaming).toContain('"code":"ERR_LEASE_EXPIRED"');
    await until(() => sleepers().length === 0, 3000, "nothing is left");
    expect(opened.service.runtime.load()).toMatchObject([{ running: 0 }, { running: 0 }]);
  });

  it("that is renewed keeps its runs going, and says how many there are", async () => {
    const opened = await openService({}, scripts);
    await renew(opened, "edge-1", 1500);
    const running = opened.post({ tool: "short" }, under("edge-1"));
    const counts: number[] = [];
    const renewing = setInterval(async () => {
      const { executions } = (await (await renew(opened, "edge-1", 1500)).json()) as { executions: number };
      counts.push(executions);
    }, 400);
    expect((await running).status).toBe(200);
    clearInterval(renewing);
    expect(counts).toContain(1);
  });

  it("ends neither the runs under another tenant's lease of the same name, nor those that were answered with 202", async () => {
    const opened = await openService({ tokens: Object.values(tokens) }, scripts);
    await renew(opened, "edge-1", 1000, bearer("alice"));
    await renew(opened, "edge-1", 20_000, bearer("bob"));
    const bob = opened.post({ tool: "short" }, { ...under("edge-1"), ...bearer("bob") });
    const later = await opened.post({ tool: "short" }, { ...under("edge-1"), ...bearer("alice"), prefer: "respond-async" });
    expect(later.status).toBe(202);
    const alice = await opened.post({ tool: "slow" }, { ...under("edge-1"), ...bearer("alice") });
    expect(await problemOf(alice)).toMatchObject({ code: "ERR_LEASE_EXPIRED" });
    expect((await bob).status).toBe(200);
    const path = later.headers.get("location") ?? "";
    await until(
      async () => ((await (await opened.get(path, bearer("alice"))).json()) as { status: string }).status === "ended",
      5000,
      "it ends",
    );
    expect(await (await opened.get(path, bearer("alice"))).json()).toMatchObject({ result: { exitCode: 0 } });
  });

  it("is refused where its name or time cannot be, and there are so many", async () => {
    const opened = await openService({ tokens: Object.values(tokens) });
    const alice = bearer("alice");
    expect(await problemOf(await renew(opened, "a%20b", 1000, alice))).toMatchObject({ code: "ERR_ARGUMENT_INVALID" });
    expect(await problemOf(await renew(opened, "a", 999, alice))).toMatchObject({ code: "ERR_INPUT_INVALID" });
    expect(await problemOf(await renew(opened, "a", 60_001, alice))).toMatchObject({ code: "ERR_INPUT_INVALID" });
    expect(await problemOf(await renew(opened, "a", 1000, bearer("reader")))).toMatchObject({ code: "ERR_FORBIDDEN" });
    expect(await problemOf(await renew(opened, "a", 1000))).toMatchObject({ code: "ERR_UNAUTHORIZED" });
    expect(await problemOf(await opened.post({ tool: "echo" }, { ...alice, ...under("no/name") }))).toMatchObject({
      code: "ERR_ARGUMENT_INVALID",
    });
    for (let at = 0; at < 1000; at += 50) {
      const many = await Promise.all(Array.from({ length: 50 }, (_, index) => renew(opened, `lease-${at + index}`, 60_000, alice)));
      expect(new Set(many.map(({ status }) => status))).toEqual(new Set([200]));
    }
    expect(await problemOf(await renew(opened, "one-more", 1000, alice))).toMatchObject({ code: "ERR_QUEUE_FULL" });
    expect((await renew(opened, "lease-0", 1000, alice)).status).toBe(200);
    expect((await renew(opened, "one-more", 1000, bearer("bob"))).status).toBe(200);
    expect(await problemOf(await opened.post({ tool: "echo" }, { ...alice, ...under("one-more") }))).toMatchObject({
      code: "ERR_QUEUE_FULL",
    });
  });
});
