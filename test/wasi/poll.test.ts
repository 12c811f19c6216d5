import { describe, expect, it } from "vitest";
import { bytesOf, Sandbox } from "./sandbox.ts";

interface Subscription {
  readonly userdata: bigint;
  readonly type: number;
  readonly fd?: number;
  readonly clock?: number;
  readonly timeoutNs?: bigint;
  readonly absolute?: boolean;
}

interface Event {
  readonly userdata: bigint;
  readonly errno: number;
  readonly type: number;
  readonly bytes: bigint;
  readonly flags: number;
}

function poll(sandbox: Sandbox, subscriptions: readonly Subscription[]): { answer: number | Promise<number>; events: () => Event[] } {
  const input = sandbox.alloc(48 * subscriptions.length);
  const output = sandbox.alloc(32 * subscriptions.length);
  const result = sandbox.alloc(4);
  const { view } = sandbox;
  for (const [index, subscription] of subscriptions.entries()) {
    const at = input + index * 48;
    view.setBigUint64(at, subscription.userdata, true);
    view.setUint8(at + 8, subscription.type);
    view.setUint32(at + 16, subscription.fd ?? subscription.clock ?? 1, true);
    view.setBigUint64(at + 24, subscription.timeoutNs ?? 0n, true);
    view.setUint16(at + 40, subscription.absolute === true ? 1 : 0, true);
  }
  const answer = sandbox.call.poll_oneoff(input, output, subscriptions.length, result);
  const events = (): Event[] =>
    Array.from({ length: view.getUint32(result, true) }, (_, index) => {
      const at = output + index * 32;
      return {
        userdata: view.getBigUint64(at, true),
        errno: view.getUint16(at + 8, true),
        type: view.getUint8(at + 10),
        bytes: view.getBigUint64(at + 16, true),
        flags: view.getUint16(at + 24, true),
      };
    });
  return { answer, events };
}

/** A clock that only sleeping moves. */
function clockwork(early = 0): {
  clock: { realtimeNs(): bigint; monotonicNs(): bigint; resolutionNs: bigint };
  sleep: (ms: number) => Promise<void>;
  slept: number[];
} {
  let nowNs = 1_000_000_000n;
  const slept: number[] = [];
  return {
    clock: { realtimeNs: () => nowNs + 5n * 10n ** 17n, monotonicNs: () => nowNs, resolutionNs: 1n },
    sleep: async (ms) => {
      slept.push(ms);
      nowNs += BigInt(Math.max(1, ms - early)) * 1_000_000n;
      await Promise.resolve();
    },
    slept,
  };
}

describe("poll_oneoff", () => {
  it("answers at once for what is always ready", () => {
    const sandbox = new Sandbox({ stdin: bytesOf("hello") });
    const fd = sandbox.openFile("file");
    sandbox.write(fd, "abc");
    sandbox.seek(fd, 1n, 0);
    const { answer, events } = poll(sandbox, [
      { userdata: 1n, type: 1, fd: 0 },
      { userdata: 2n, type: 2, fd: 1 },
      { userdata: 3n, type: 1, fd },
      { userdata: 2n ** 64n - 1n, type: 2, fd },
      { userdata: 5n, type: 0, timeoutNs: 10n ** 12n },
    ]);
    expect(answer).toBe(0);
    expect(events()).toEqual([
      { userdata: 1n, errno: 0, type: 1, bytes: 5n, flags: 0 },
      { userdata: 2n, errno: 0, type: 2, bytes: 1n, flags: 0 },
      { userdata: 3n, errno: 0, type: 1, bytes: 2n, flags: 0 },
      { userdata: 2n ** 64n - 1n, errno: 0, type: 2, bytes: 1n, flags: 0 },
    ]);
  });

  it("says that stdin has ended", () => {
    const sandbox = new Sandbox({ stdin: bytesOf("x") });
    sandbox.read(0, 9);
    const { events } = poll(sandbox, [{ userdata: 1n, type: 1, fd: 0 }]);
    expect(events()).toEqual([{ userdata: 1n, errno: 0, type: 1, bytes: 0n, flags: 1 }]);
  });

  it("reports a bad descriptor, clock or right in the event", () => {
    const sandbox = new Sandbox();
    const fd = sandbox.openFile("file", { rights: 1n << 1n });
    const { answer, events } = poll(sandbox, [
      { userdata: 1n, type: 1, fd: 77 },
      { userdata: 2n, type: 2, fd },
      { userdata: 3n, type: 0, clock: 9 },
      { userdata: 4n, type: 0, clock: 2 },
      { userdata: 5n, type: 2, fd: 1 },
    ]);
    expect(answer).toBe(0);
    expect(events().map(({ errno }) => errno)).toEqual([8, 76, 28, 58, 0]);
  });

  it("with nothing or an unknown event to wait for is EINVAL", () => {
    const { call } = new Sandbox();
    expect(call.poll_oneoff(64, 128, 0, 32)).toBe(28);
    expect(poll(new Sandbox(), [{ userdata: 1n, type: 3 }]).answer).toBe(28);
    const sandbox = new Sandbox();
    sandbox.memory.grow(20);
    expect(sandbox.call.poll_oneoff(4096, 4096, 4097, 32)).toBe(28);
  });

  it("returns a clock that is due without waiting", () => {
    const { clock, slept, sleep } = clockwork();
    const sandbox = new Sandbox({ clock, sleep });
    for (const subscription of [
      { timeoutNs: 0n },
      { timeoutNs: 1_000_000_000n, absolute: true },
      { timeoutNs: 0n, absolute: true, clock: 0 },
    ]) {
      const { answer, events } = poll(sandbox, [{ userdata: 8n, type: 0, ...subscription }]);
      expect(answer).toBe(0);
      expect(events()).toEqual([{ userdata: 8n, errno: 0, type: 0, bytes: 0n, flags: 0 }]);
    }
    expect(slept).toEqual([]);
  });

  it("waits for the first of several clocks, again where the timer fires early", async () => {
    const { clock, slept, sleep } = clockwork(3);
    const sandbox = new Sandbox({ clock, sleep });
    const { answer, events } = poll(sandbox, [
      { userdata: 1n, type: 0, timeoutNs: 90_000_000n },
      { userdata: 2n, type: 0, clock: 0, timeoutNs: 10_000_001n },
      { userdata: 3n, type: 0, clock: 0, timeoutNs: 5n * 10n ** 17n + 1_010_000_001n, absolute: true },
    ]);
    expect(answer).toBeInstanceOf(Promise);
    expect(await answer).toBe(0);
    expect(events().map(({ userdata }) => userdata)).toEqual([2n, 3n]);
    expect(slept[0]).toBe(11);
    expect(slept.length).toBeGreaterThan(1);
  });

  it("asks for no timer longer than the host has", async () => {
    const stop = new Error("slept");
    const asked: number[] = [];
    const sandbox = new Sandbox({
      sleep: (ms) => {
        asked.push(ms);
        return Promise.reject(stop);
      },
    });
    await expect(poll(sandbox, [{ userdata: 1n, type: 0, timeoutNs: 2n ** 64n - 1n }]).answer).rejects.toBe(stop);
    expect(asked).toEqual([2 ** 31 - 1]);
  });

  it("that would have to wait is ENOTSUP where nothing can", () => {
    expect(poll(new Sandbox(), [{ userdata: 1n, type: 0, timeoutNs: 1_000_000n }]).answer).toBe(58);
  });

  it("sees memory that grew while it waited", async () => {
    const { clock, sleep } = clockwork();
    const sandbox = new Sandbox({
      clock,
      sleep: async (ms) => {
        sandbox.memory.grow(1);
        await sleep(ms);
      },
    });
    const { answer } = poll(sandbox, [{ userdata: 6n, type: 0, timeoutNs: 1_000_000n }]);
    expect(await answer).toBe(0);
    const result = sandbox.view;
    const found = Array.from({ length: 512 }, (_, index) => result.getBigUint64(4096 + index * 8, true));
    expect(found.filter((value) => value === 6n)).toHaveLength(2);
  });
});
