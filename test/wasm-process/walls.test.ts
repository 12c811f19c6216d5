import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { layout, openBench, probe, until } from "./support.ts";

const isRoot = process.getuid?.() === 0;

function statusOf(pid: number): Map<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, "latin1").split("\n");
  return new Map(lines.map((line) => [line.split(":")[0] ?? "", line.slice(line.indexOf(":") + 1).trim()]));
}

function limitOf(pid: number, name: string): string | undefined {
  const line = readFileSync(`/proc/${pid}/limits`, "latin1")
    .split("\n")
    .find((one) => one.startsWith(name));
  return line?.slice(name.length).trim().split(/\s+/)[1];
}

function fdsOf(pid: number): Map<number, string> {
  const folder = `/proc/${pid}/fd`;
  return new Map(readdirSync(folder).map((fd) => [Number(fd), readlinkSync(join(folder, fd))]));
}

describe("what a child has, seen from outside", () => {
  it("is nothing of the service's: environment, folder, descriptors", async () => {
    process.env["TOOLRUNTIME_CANARY"] = "canary-0d15ea5e";
    const { runtime, pids } = openBench({ spares: 0 });
    await runtime.execute({ tool: probe, input: { do: "echo" } });
    for (const pid of pids()) {
      expect(readFileSync(`/proc/${pid}/environ`, "latin1")).toBe("");
      expect(readFileSync(`/proc/${pid}/cmdline`, "latin1")).not.toContain("canary");
      expect(readlinkSync(`/proc/${pid}/cwd`)).toBe("/");
      const fds = fdsOf(pid);
      expect([fds.get(0), fds.get(1)]).toEqual(["/dev/null", "/dev/null"]);
      const sockets = [...fds.values()].filter((target) => target.startsWith("socket:"));
      expect(sockets).toHaveLength(2);
      // Node's own: event loop, signals. No file, no device.
      const others = [...fds.values()].filter((target) => !/^(?:socket:|pipe:|anon_inode:|\/dev\/null)/.test(target));
      expect(others).toEqual([]);
    }
    expect(pids().length).toBeGreaterThanOrEqual(1);
  });

  it("is lowest limits, and what the driver says of walls", async () => {
    const { driver, pids } = openBench({ spares: 0 });
    const found = await driver.probe();
    if (found.status !== "ready") throw new Error(found.reason);
    const [held = ""] = found.notes ?? [];
    const [pid = 0] = pids();
    expect(limitOf(pid, "Max core file size")).toBe("0");
    expect(limitOf(pid, "Max file size")).toBe("0");
    expect(Number(limitOf(pid, "Max open files"))).toBeLessThanOrEqual(64);
    const status = statusOf(pid);
    expect(held.includes("no way to new privileges")).toBe(status.get("NoNewPrivs") === "1");
    expect(held.includes("a user of its own")).toBe(Number(status.get("Uid")?.split("\t")[0]) >= 0x7000_0000);
    expect(held.includes("no network")).toBe(readlinkSync(`/proc/${pid}/ns/net`) !== readlinkSync("/proc/self/ns/net"));
    expect(held.includes("a cgroup of its own")).toBe(readFileSync(`/proc/${pid}/cgroup`, "latin1").includes("toolruntime-wasm-"));
    if (!isRoot) return;
    expect(limitOf(pid, "Max processes")).toBe("32");
    expect(status.get("CapEff")).toMatch(/^0+$/);
    expect(status.get("CapBnd")).toMatch(/^0+$/);
    expect(status.get("Groups")).toBe("");
  });

  it.skipIf(!isRoot)("is another user for each, whose files and processes are nobody's", async () => {
    const { runtime, pids } = openBench({ spares: 1 });
    await runtime.execute({ tool: probe, input: { do: "echo" } });
    await until("there are two", () => pids().length === 2);
    const uids = pids().map((pid) => statusOf(pid).get("Uid"));
    expect(new Set(uids).size).toBe(uids.length);
  });

  it("is still a process with its permission model where everything else is switched off", async () => {
    const { driver, runtime, pids } = openBench({ cgroup: "none", user: "same", namespaces: "none", spares: 0 });
    expect((await runtime.execute({ tool: probe, input: { do: "echo" } })).exitCode).toBe(0);
    const found = await driver.probe();
    const notes = found.status === "ready" ? (found.notes ?? []).join() : "";
    expect(notes).toContain("permission model");
    expect(notes).toContain("no cgroup");
    for (const pid of pids()) expect(readFileSync(`/proc/${pid}/cgroup`, "latin1")).not.toContain("toolruntime-wasm-");
  });
});

describe("a guest that broke out of the engine", () => {
  it("finds no file, no process, no thread, no addon, no network and no variable", async () => {
    process.env["TOOLRUNTIME_CANARY"] = "canary-0d15ea5e";
    const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const folder = mkdtempSync(join(tmpdir(), "toolruntime-walls-"));
    onTestFinished(() => {
      server.close();
      rmSync(folder, { recursive: true });
    });
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const file = join(folder, "written");
    const { driver, runtime } = openBench({ fake: "explorer", spares: 0 });
    const { output } = await runtime.execute({ tool: probe, input: { port, file, pid: process.pid } });
    const answers: Record<string, unknown> = JSON.parse(String(output));
    expect(answers).toMatchObject({
      ownCode: "ERR_ACCESS_DENIED",
      passwd: "ERR_ACCESS_DENIED",
      environ: "ERR_ACCESS_DENIED",
      folder: "ERR_ACCESS_DENIED",
      write: "ERR_ACCESS_DENIED",
      program: "ERR_ACCESS_DENIED",
      thread: "ERR_ACCESS_DENIED",
      addon: "ERR_DLOPEN_DISABLED",
      code: expect.stringContaining("Code generation from strings disallowed"),
      env: {},
      folderOfWork: "/",
      proto: "gone",
    });
    expect(existsSync(file)).toBe(false);
    const found = await driver.probe();
    const [held = ""] = found.status === "ready" ? (found.notes ?? []) : [];
    expect(answers["network"]).toBe(held.includes("no network") ? "ENETUNREACH" : "got a connection");
    expect(answers["service"]).toBe(held.includes("a user of its own") ? "EPERM" : "got true");
  });
});

describe.skipIf(layout === undefined)("the cgroup of a child", () => {
  it("has the guest's memory and the declared rest as its limit, and few processes", async () => {
    const { driver, runtime } = openBench({ overheadBytes: 100 * 2 ** 20, spares: 0 });
    const { limits } = await runtime.execute({ tool: probe, input: { do: "echo" }, resources: { memory: "32Mi" } });
    const memory = limits.find(({ limit }) => limit === "memory");
    expect(memory).toMatchObject({
      applied: 32 * 2 ** 20,
      hit: expect.any(String),
      note: expect.stringContaining("Its process may have 13"),
    });
    for (const one of layout ?? []) {
      if (!one.controllers.includes("pids")) continue;
      const names = readdirSync(one.parent).filter((name) => name.startsWith(driver.childPrefix));
      expect(names.length).toBeGreaterThanOrEqual(1);
      for (const name of names) expect(readFileSync(join(one.parent, name, "pids.max"), "latin1").trim()).toBe("32");
    }
  });
});
