import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { WasmIo } from "../../src/wasm/run-types.ts";
import { createRuntime } from "../../src/runtime.ts";
import { defineTool } from "../../src/tool.ts";
import { wasm } from "../../src/wasm/index.ts";
import { FuelMeter, fuelName } from "../../src/wasm/meter/index.ts";
import { firstSliceUnits, inlineBudgetMs, Slices, type SliceLimits } from "../../src/wasm/slices.ts";
import { stretchMs, Turns, type EventLoopTurn } from "../../src/wasm/turns.ts";
import { codeOf, manifestWith } from "./support.ts";

/** An event loop whose turns come when a test says so. */
function manualLoop(): { readonly next: EventLoopTurn; turn(): void } {
  let asked: (() => void)[] = [];
  return {
    next: (go) => void asked.push(go),
    turn() {
      const now = asked;
      asked = [];
      for (const go of now) go();
    },
  };
}

describe("turns", () => {
  test("nobody waits while no guest has run, or only for a moment", () => {
    const turns = new Turns(manualLoop().next);
    expect([turns.isDue(5), turns.isFull]).toEqual([false, false]);
    turns.note(5, 5.01);
    expect([turns.isDue(6), turns.isFull]).toEqual([false, false]);
  });

  test("after a stretch the event loop is due a turn, and has had it afterwards", () => {
    const loop = manualLoop();
    const turns = new Turns(loop.next);
    turns.note(1, 1 + stretchMs / 2);
    expect(turns.isDue(1 + stretchMs / 2)).toBe(false);
    expect(turns.isDue(1 + stretchMs)).toBe(true);
    loop.turn();
    expect(turns.isDue(1 + stretchMs)).toBe(false);
  });

  test("where the clock stands still it is due by count", () => {
    const turns = new Turns(manualLoop().next);
    for (let count = 0; count < 4; count++) {
      expect([turns.isDue(7), turns.isFull]).toEqual([false, false]);
      turns.note(7, 7);
    }
    expect([turns.isDue(7), turns.isFull]).toEqual([true, true]);
  });

  test("one of those that wait goes on in each turn, and all get theirs in the order of asking", () => {
    const loop = manualLoop();
    const turns = new Turns(loop.next);
    const seen: string[] = [];
    const hog = (name: string): void => {
      turns.wait(() => {
        seen.push(name);
        turns.note(0, 1);
        hog(name);
      });
    };
    for (const name of ["a", "b", "c"]) hog(name);
    for (let turn = 0; turn < 12; turn++) {
      loop.turn();
      expect(seen.length).toBeLessThanOrEqual(turn + 1);
    }
    const counts = ["a", "b", "c"].map((name) => seen.filter((one) => one === name).length);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    expect(seen.length).toBeGreaterThanOrEqual(11);
  });

  test("one that leaves holds up nobody, and neither does one whose own callback never comes", () => {
    const loop = manualLoop();
    let lost = 0;
    // On workerd a timer goes with its request.
    const turns = new Turns((go) => (lost-- === 1 ? undefined : loop.next(go)));
    const seen: string[] = [];
    const leave = turns.wait(() => seen.push("left"));
    lost = 1;
    turns.wait(() => seen.push("lost"));
    turns.wait(() => seen.push("here"));
    turns.wait(() => seen.push("there"));
    leave();
    for (let turn = 0; turn < 6; turn++) loop.turn();
    expect(seen).toEqual(["here", "there"]);
  });
});

function ioOf(signal = new AbortController().signal): WasmIo {
  return {
    id: "ex_test",
    stdin: new Uint8Array(0),
    files: [],
    env: {},
    maxOutputFiles: 0,
    stdout: () => undefined,
    stderr: () => undefined,
    started: () => undefined,
    signal,
  };
}

/** A guest of numbers alone: what an instance shows of itself to the books. */
function guestOf(slices: Slices): { spend(units: number): void; readonly fuel: number } {
  const global = new WebAssembly.Global({ value: "i32", mutable: true }, firstSliceUnits);
  slices.meter.bind({ exports: { [fuelName]: global } });
  return {
    spend(units) {
      global.value -= units;
    },
    get fuel() {
      return global.value;
    },
  };
}

function begin(limits: SliceLimits = {}, signal?: AbortSignal) {
  const slices = new Slices(ioOf(signal), new Turns(), limits);
  const guest = guestOf(slices);
  slices.start();
  return { slices, guest };
}

function spin(milliseconds: number): void {
  for (const until = performance.now() + milliseconds; performance.now() < until;);
}

describe("slices", () => {
  test("give grants that fit the time a guest takes, within bounds, and the fuel used is the same whatever they are", async () => {
    const { slices, guest } = begin();
    const grants: number[] = [];
    let spent = 0;
    for (const pause of [0, 0, 0, 3, 3, 3]) {
      const units = guest.fuel + 1;
      guest.spend(units);
      spent += units;
      spin(pause);
      const grant = slices.look() || (await slices.wait());
      grants.push(grant);
      guest.spend(-grant);
    }
    expect(slices.meter.used).toBe(spent);
    expect(Math.max(...grants)).toBe(100_000);
    expect(grants.at(-1)).toBe(10_000);
  });

  test("end by wall time, by time on the event loop, by fuel, and by the signal", async () => {
    const late = begin({ timeoutMs: 5 });
    spin(6);
    expect([late.slices.look(), late.slices.end?.limit]).toEqual([-1, "timeout"]);

    const busy = begin({ cpuMs: 5 });
    await busy.slices.away(new Promise((resolve) => setTimeout(resolve, 10)));
    expect(busy.slices.look()).toBeGreaterThanOrEqual(0);
    spin(6);
    expect([busy.slices.look(), busy.slices.end?.limit]).toEqual([-1, "cpuTime"]);

    const empty = begin({ fuel: firstSliceUnits + 100 });
    empty.guest.spend(firstSliceUnits + 1);
    expect(empty.slices.lookInline()).toBe(100);
    empty.guest.spend(-100);
    empty.guest.spend(100);
    expect([empty.slices.lookInline(), empty.slices.end]).toEqual([-1, { limit: "fuel", observed: firstSliceUnits + 101 }]);

    const controller = new AbortController();
    const aborted = begin({}, controller.signal);
    controller.abort();
    expect([aborted.slices.look(), aborted.slices.end, aborted.slices.isOver]).toEqual([-1, undefined, true]);
  });

  test("what the host did last may pass the limit of fuel without a checkpoint", () => {
    const { slices } = begin({ fuel: 5000 });
    slices.work(6000);
    slices.stop();
    expect(slices.end).toEqual({ limit: "fuel", observed: 6000 });
  });

  test("a guest that cannot be suspended has its budget, counted from when it was let in", async () => {
    const { slices } = begin();
    expect(slices.lookInline()).toBeGreaterThan(0);
    spin(inlineBudgetMs + 1);
    await slices.away(Promise.resolve());
    expect(slices.lookInline()).toBeGreaterThan(0);
    spin(inlineBudgetMs + 1);
    expect([slices.lookInline(), slices.end?.limit]).toEqual([-1, "inline"]);
  });

  test("a slow reader stops the guest at its next checkpoint, until it has taken what there was", async () => {
    const { slices, guest } = begin();
    let take = (): void => undefined;
    const slow = new Promise<void>((resolve) => (take = resolve));
    slices.hold(undefined, 10);
    expect(guest.fuel).toBe(firstSliceUnits);
    slices.hold(slow, 10);
    expect(guest.fuel).toBeLessThan(0);
    expect([slices.isCongested, slices.look()]).toEqual([false, 0]);
    slices.hold(slow, 2 ** 20);
    expect(slices.isCongested).toBe(true);
    let hasWaited = false;
    const waiting = slices.wait().then((grant) => {
      hasWaited = true;
      return grant;
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(hasWaited).toBe(false);
    take();
    expect(await waiting).toBeGreaterThan(0);
    expect(slices.isCongested).toBe(false);
  });

  test("a reader that fails ends the guest, and whoever settles hears of it", async () => {
    const { slices } = begin();
    slices.hold(Promise.reject(new Error("reader gone")), 10);
    expect(slices.look()).toBe(0);
    expect(await slices.wait()).toBe(-1);
    await expect(slices.settle()).rejects.toThrow("reader gone");
  });

  test("a poisoned guest is at its checkpoint at once, and ends there", () => {
    const { slices, guest } = begin();
    slices.poison();
    expect([guest.fuel < 0, slices.look(), slices.end]).toEqual([true, -1, undefined]);
  });

  test("host work that takes long brings the guest to its checkpoint, however little fuel it has used", () => {
    const { slices, guest } = begin();
    for (let call = 0; call < 100; call++) slices.called();
    spin(2 * stretchMs);
    for (let call = 0; call < 100; call++) slices.called();
    expect(guest.fuel).toBeLessThan(0);
    expect(slices.meter.used).toBe(200_000);
  });

  test("a sleep is over when the run is ended, and is no time on the event loop", async () => {
    const controller = new AbortController();
    const { slices } = begin({ cpuMs: 10_000 }, controller.signal);
    await slices.sleep(30);
    setTimeout(() => controller.abort(new Error("enough")), 10);
    await expect(slices.sleep(60_000)).rejects.toThrow("enough");
    slices.stop();
    const { readings } = slices.complete({ exit: { kind: "exited", code: 0 }, readings: [], files: [] });
    expect(readings).toMatchObject([{ limit: "cpuTime", applied: 10_000, hit: "no" }, { limit: "fuel" }]);
    expect(readings[0]?.peak).toBeLessThan(25);
  });

  test("a guest that waits for its turn is woken by the end of the run", async () => {
    const controller = new AbortController();
    const slices = new Slices(ioOf(controller.signal), new Turns(manualLoop().next), {});
    guestOf(slices);
    slices.start();
    spin(2 * stretchMs);
    expect(slices.look()).toBe(0);
    const waiting = slices.wait();
    controller.abort();
    expect(await waiting).toBe(-1);
  });
});

describe("the books of fuel", () => {
  test("are of all instances together: what one has left is not used up when another one's grant ends", () => {
    const meter = new FuelMeter({ initialFuel: 1000, limit: 2500 });
    const globals = [1000, 1000].map((value) => new WebAssembly.Global({ value: "i32", mutable: true }, value));
    const [first, second] = globals;
    if (first === undefined || second === undefined) throw new Error("no globals");
    for (const global of globals) meter.bind({ exports: { [fuelName]: global } });
    second.value -= 1001;
    expect([meter.used, meter.grant(10_000)]).toEqual([1001, 500]);
    second.value += 500 - 500;
    // The first instance has a thousand that nobody used.
    expect(meter.grant(10_000)).toBeGreaterThan(900);
    expect(first.value).toBe(-1);
    expect(meter.isExhausted).toBe(false);
  });

  test("an interruption changes what is left and not what was used", () => {
    const meter = new FuelMeter({ initialFuel: 1000 });
    const global = new WebAssembly.Global({ value: "i32", mutable: true }, 1000);
    meter.bind({ exports: { [fuelName]: global } });
    global.value -= 300;
    meter.charge(50);
    expect(meter.used).toBe(350);
    meter.interrupt();
    meter.interrupt();
    expect([global.value, meter.used]).toEqual([-1, 350]);
  });
});

describe("live instances", () => {
  test("are capped: so many run, as many wait, and more are refused at once", async () => {
    await using runtime = createRuntime({ backend: wasm({ maxInstances: 2 }), security: "standard" });
    const bytes = readFileSync(new URL("../abuse/modules/loop.wasm", import.meta.url));
    const tool = await defineTool(manifestWith(), { wasm: new Uint8Array(bytes) });
    await runtime.execute({ tool, resources: { timeout: 5 } }).catch(() => undefined);
    const codes = await Promise.all(
      Array.from({ length: 6 }, () => codeOf(runtime.execute({ tool, resources: { timeout: 100 } }, { deadline: "10s" }))),
    );
    expect(codes.filter((code) => code === "ERR_QUEUE_FULL")).toHaveLength(2);
    expect(codes.filter((code) => code === "ERR_LIMIT_TIMEOUT")).toHaveLength(4);
    // Whoever waits can be called off, and leaves the place to others.
    const running = codeOf(runtime.execute({ tool, resources: { timeout: 300 } }));
    const alike = codeOf(runtime.execute({ tool, resources: { timeout: 300 } }));
    expect(await codeOf(runtime.execute({ tool }, { deadline: "50ms" }))).toBe("ERR_DEADLINE");
    expect([await running, await alike]).toEqual(["ERR_LIMIT_TIMEOUT", "ERR_LIMIT_TIMEOUT"]);
  });
});
