import { describe, expect, it } from "vitest";
import { AbiTrap, createWasi, FileSystem, ProcExit } from "../../src/wasm/wasi/index.ts";
import { Sandbox } from "./sandbox.ts";

function strings(sandbox: Sandbox, kind: "args" | "environ"): string[] {
  const { call, view } = sandbox;
  const count = sandbox.alloc(8);
  const sizes = kind === "args" ? call.args_sizes_get : call.environ_sizes_get;
  const get = kind === "args" ? call.args_get : call.environ_get;
  expect(sizes(count, count + 4)).toBe(0);
  const total = view.getUint32(count, true);
  const size = view.getUint32(count + 4, true);
  const pointers = sandbox.alloc(total * 4);
  const buffer = sandbox.alloc(size + 1);
  expect(get(pointers, buffer)).toBe(0);
  expect(sandbox.bytes[buffer + size]).toBe(0xaa);
  return Array.from({ length: total }, (_, index) => {
    const start = view.getUint32(pointers + index * 4, true);
    return sandbox.text(start, sandbox.bytes.indexOf(0, start) - start);
  });
}

describe("arguments and environment (B13)", () => {
  it("are exactly what was given", () => {
    const sandbox = new Sandbox({ args: ["tool", "", "späß 🎈", "a b"], env: { A: "1", EMPTY: "", Ü: "ü=ü" } });
    expect(strings(sandbox, "args")).toEqual(["tool", "", "späß 🎈", "a b"]);
    expect(strings(sandbox, "environ")).toEqual(["A=1", "EMPTY=", "Ü=ü=ü"]);
  });

  it("may be none", () => {
    const sandbox = new Sandbox({ args: [], env: {} });
    expect(strings(sandbox, "args")).toEqual([]);
    expect(strings(sandbox, "environ")).toEqual([]);
  });

  it("end at a NUL, so that none can fake another", () => {
    const sandbox = new Sandbox({ args: ["a\0b", "c"], env: { K: "v\0EVIL=1" } });
    expect(strings(sandbox, "args")).toEqual(["a", "c"]);
    expect(strings(sandbox, "environ")).toEqual(["K=v"]);
  });

  it("with lone surrogates become valid UTF-8", () => {
    expect(strings(new Sandbox({ args: ["\ud800x"] }), "args")).toEqual(["\ufffdx"]);
  });

  it("are of own properties only", () => {
    const env: Record<string, string> = Object.assign(Object.create({ INHERITED: "x" }), { OWN: "y" });
    expect(strings(new Sandbox({ env }), "environ")).toEqual(["OWN=y"]);
  });

  it("are longer than a page where they have to be", () => {
    const long = "é".repeat(30_000);
    expect(strings(new Sandbox({ args: ["t", long] }), "args")).toEqual(["t", long]);
  });
});

describe("clocks", () => {
  const clock = { realtimeNs: () => 1_700_000_000_000_000_123n, monotonicNs: () => 42n, resolutionNs: 7n };

  it.each([
    [0, 1_700_000_000_000_000_123n],
    [1, 42n],
    [2, 42n],
    [3, 42n],
  ])("clock %i reads what the host gives", (id, expected) => {
    const sandbox = new Sandbox({ clock });
    const at = sandbox.alloc(8);
    expect(sandbox.call.clock_time_get(id, 0n, at)).toBe(0);
    expect(sandbox.view.getBigUint64(at, true)).toBe(expected);
    expect(sandbox.call.clock_res_get(id, at)).toBe(0);
    expect(sandbox.view.getBigUint64(at, true)).toBe(7n);
  });

  it("others are EINVAL", () => {
    const { call } = new Sandbox({ clock });
    expect(call.clock_time_get(4, 0n, 64)).toBe(28);
    expect(call.clock_time_get(-1, 0n, 64)).toBe(28);
    expect(call.clock_res_get(4, 64)).toBe(28);
  });

  it("of the host run and do not go back", () => {
    const sandbox = new Sandbox();
    const at = sandbox.alloc(8);
    const read = (id: number): bigint => {
      expect(sandbox.call.clock_time_get(id, 0n, at)).toBe(0);
      return sandbox.view.getBigUint64(at, true);
    };
    expect(Math.abs(Number(read(0) / 1_000_000n) - Date.now())).toBeLessThan(5000);
    const first = read(1);
    expect(read(1)).toBeGreaterThanOrEqual(first);
  });
});

describe("random_get", () => {
  it("fills exactly the bytes asked for, in pieces that the host accepts", () => {
    const pieces: number[] = [];
    const sandbox = new Sandbox({ random: (target) => void pieces.push(target.fill(7).length) });
    const at = sandbox.alloc(150_001);
    expect(sandbox.call.random_get(at, 150_000)).toBe(0);
    expect(pieces).toEqual([65_536, 65_536, 18_928]);
    expect(sandbox.bytes.subarray(at, at + 150_000).every((byte) => byte === 7)).toBe(true);
    expect(sandbox.bytes[at + 150_000]).toBe(0xaa);
  });

  it("differs between runs and calls", () => {
    const draw = (sandbox: Sandbox): string => {
      const at = sandbox.alloc(32);
      expect(sandbox.call.random_get(at, 32)).toBe(0);
      return sandbox.bytes.slice(at, at + 32).join();
    };
    const one = new Sandbox();
    expect(new Set([draw(one), draw(one), draw(new Sandbox())]).size).toBe(3);
  });

  it("of nothing touches nothing", () => {
    expect(new Sandbox().call.random_get(0xffff_ffff, 0)).toBe(0);
  });
});

describe("the end of the guest", () => {
  it.each([
    [0, 0],
    [7, 7],
    [-1, 0xffff_ffff],
  ])("proc_exit(%i) throws the code", (given, code) => {
    const sandbox = new Sandbox();
    expect(sandbox.wasi.ended).toBeUndefined();
    expect(() => sandbox.call.proc_exit(given)).toThrow(ProcExit);
    expect(sandbox.wasi.ended).toMatchObject({ code });
  });

  it("is final although the guest catches the throw (A8)", () => {
    const sandbox = new Sandbox();
    const fd = sandbox.openFile("x");
    expect(() => sandbox.call.proc_exit(3)).toThrow(ProcExit);
    for (const attempt of [
      () => sandbox.call.proc_exit(0),
      () => sandbox.call.fd_write(1, 0, 0, 0),
      () => sandbox.call.fd_close(fd),
      () => sandbox.call.sched_yield(),
      () => sandbox.call.proc_raise(0),
      () => sandbox.call.sock_shutdown(3, 0),
      () => sandbox.call.path_unlink_file(3, 0, 1),
      () => sandbox.call.poll_oneoff(0, 0, 1, 0),
    ]) {
      expect(attempt).toThrow(ProcExit);
    }
    expect(sandbox.wasi.ended).toMatchObject({ code: 3 });
  });

  it.each([
    ["stdout", (sandbox: Sandbox) => sandbox.write(1, "x")],
    ["random", (sandbox: Sandbox) => sandbox.call.random_get(4096, 8)],
    ["charge", (sandbox: Sandbox) => sandbox.write(2, "x".repeat(16))],
  ])("is what the callback %s threw, also where the guest catches that (A8)", (_name, act) => {
    const limit = { limit: "reached" };
    const refuse = (): never => {
      throw limit;
    };
    const sandbox = new Sandbox({ stdout: refuse, random: refuse, charge: refuse });
    expect(() => act(sandbox)).toThrow(expect.objectContaining(limit));
    expect(sandbox.wasi.ended).toBe(limit);
    const thrown: unknown[] = [];
    for (const again of [() => sandbox.call.sched_yield(), () => sandbox.call.proc_exit(0)]) {
      try {
        again();
      } catch (error) {
        thrown.push(error);
      }
    }
    expect(thrown).toEqual([limit, limit]);
  });

  it("is what a promise of a callback was rejected with", async () => {
    const limit = new Error("limit");
    const sandbox = new Sandbox({ stdout: () => Promise.reject(limit), sleep: () => Promise.reject(limit) });
    await expect(sandbox.call.fd_write(1, sandbox.iovecs(sandbox.put("x")), 1, 64)).rejects.toBe(limit);
    expect(sandbox.wasi.ended).toBe(limit);
    expect(() => sandbox.call.sched_yield()).toThrow(limit);
  });

  it("keeps its first reason", () => {
    const sandbox = new Sandbox();
    expect(() => sandbox.call.random_get(0xffff_ffff, 9)).toThrow(AbiTrap);
    expect(() => sandbox.call.proc_exit(0)).toThrow(AbiTrap);
    expect(sandbox.wasi.ended).toBeInstanceOf(AbiTrap);
  });

  it("costs no stack trace", () => {
    expect(new ProcExit(1)).not.toBeInstanceOf(Error);
    expect(new AbiTrap("x")).not.toBeInstanceOf(Error);
  });

  it("comes at once where no memory is bound", () => {
    const stream = (): void => undefined;
    const fs = new FileSystem();
    const wasi = createWasi({ args: [], env: {}, fs, stdin: new Uint8Array(), stdout: stream, stderr: stream });
    expect(() => wasi.imports.sched_yield()).toThrow(AbiTrap);
  });
});

describe("signals and scheduling", () => {
  it("no signal is delivered", () => {
    const { call } = new Sandbox();
    expect(call.proc_raise(0)).toBe(0);
    expect(call.proc_raise(6)).toBe(58);
    expect(call.proc_raise(31)).toBe(28);
  });

  it("sched_yield succeeds", () => {
    expect(new Sandbox().call.sched_yield()).toBe(0);
  });
});

describe("sockets (B12)", () => {
  it("do not exist", () => {
    const { call } = new Sandbox();
    for (const fd of [0, 1, 3]) {
      expect(call.sock_accept(fd, 0, 64)).toBe(57);
      expect(call.sock_recv(fd, 64, 1, 0, 128, 132)).toBe(57);
      expect(call.sock_send(fd, 64, 1, 0, 128)).toBe(57);
      expect(call.sock_shutdown(fd, 3)).toBe(57);
    }
    expect(call.sock_accept(9, 0, 64)).toBe(8);
    expect(call.sock_shutdown(-1, 3)).toBe(8);
  });
});
