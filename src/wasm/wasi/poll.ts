import { ClockId, Errno, EVENT_FD_READWRITE_HANGUP, EventType, Right, SUBSCRIPTION_CLOCK_ABSTIME } from "./abi.ts";
import { FileNode } from "./nodes.ts";
import { readClock } from "./process-calls.ts";
import type { WasiState } from "./state.ts";

const SUBSCRIPTION_BYTES = 48;
const EVENT_BYTES = 32;
const MAX_SUBSCRIPTIONS = 4096;
/** Timers of the host take 32-bit milliseconds. */
const MAX_SLEEP_MS = 2 ** 31 - 1;

interface ClockSubscription {
  readonly userdata: bigint;
  readonly clock: number;
  /** When it is due, on its own clock. */
  readonly dueNs: bigint;
}

interface Event {
  readonly userdata: bigint;
  readonly errno: number;
  readonly type: number;
  readonly bytes: number;
  readonly flags: number;
}

/**
 * Waits for the first of several events. Files, folders, input and output are always ready, so only a
 * poll with nothing but clocks waits; then it returns a promise (see `WasiOptions.sleep`).
 */
export function pollOneoff(
  state: WasiState,
  subscriptions: number,
  call: { events: number; count: number; result: number },
): number | Promise<number> {
  const { memory } = state;
  memory.refresh();
  const { count } = call;
  if (count === 0) return Errno.inval;
  memory.check(subscriptions, count * SUBSCRIPTION_BYTES);
  memory.check(call.events, count * EVENT_BYTES);
  memory.check(call.result, 4);
  if (count > MAX_SUBSCRIPTIONS) return Errno.inval;
  state.charge(count);
  const events: Event[] = [];
  const clocks: ClockSubscription[] = [];
  for (let index = 0; index < count; index++) {
    const errno = readSubscription(state, subscriptions + index * SUBSCRIPTION_BYTES, { events, clocks });
    if (errno !== Errno.success) return errno;
  }
  const waitMs = addDueClocks(state, clocks, events);
  if (events.length > 0) return writeEvents(state, events, call);
  const { sleep } = state.options;
  return sleep === undefined ? Errno.notsup : waitForClocks(state, clocks, { call, sleep, waitMs });
}

async function waitForClocks(
  state: WasiState,
  clocks: readonly ClockSubscription[],
  wait: {
    readonly call: { events: number; result: number };
    readonly sleep: (milliseconds: number) => Promise<void>;
    readonly waitMs: number;
  },
): Promise<number> {
  const events: Event[] = [];
  // Timers may fire a little early, and only so much time fits into one.
  for (let { waitMs } = wait; events.length === 0; waitMs = addDueClocks(state, clocks, events)) {
    try {
      await wait.sleep(waitMs);
    } catch (error) {
      state.memory.end(error);
    }
  }
  state.memory.refresh();
  return writeEvents(state, events, wait.call);
}

function readSubscription(state: WasiState, at: number, found: { events: Event[]; clocks: ClockSubscription[] }): number {
  const { view } = state.memory;
  const userdata = view.getBigUint64(at, true);
  const type = view.getUint8(at + 8);
  if (type === EventType.fdRead || type === EventType.fdWrite) {
    found.events.push(readiness(state, view.getUint32(at + 16, true), { userdata, type }));
    return Errno.success;
  }
  if (type !== EventType.clock) return Errno.inval;
  const clock = view.getUint32(at + 16, true);
  const timeoutNs = view.getBigUint64(at + 24, true);
  const isAbsolute = (view.getUint16(at + 40, true) & SUBSCRIPTION_CLOCK_ABSTIME) !== 0;
  const nowNs = readClock(state, clock);
  if (nowNs === undefined || clock > ClockId.monotonic) {
    const errno = nowNs === undefined ? Errno.inval : Errno.notsup;
    found.events.push({ userdata, errno, type, bytes: 0, flags: 0 });
  } else {
    found.clocks.push({ userdata, clock, dueNs: isAbsolute ? timeoutNs : nowNs + timeoutNs });
  }
  return Errno.success;
}

function readiness(state: WasiState, fd: number, event: { userdata: bigint; type: number }): Event {
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined) return { ...event, errno: Errno.badf, bytes: 0, flags: 0 };
  if ((descriptor.rights & Right.pollFdReadwrite) === 0) {
    return { ...event, errno: Errno.notcapable, bytes: 0, flags: 0 };
  }
  let bytes = 1;
  let flags = 0;
  if (event.type === EventType.fdRead) {
    const { node } = descriptor;
    if (node === "stdin") {
      bytes = state.options.stdin.length - state.stdinOffset;
      if (bytes === 0) flags = EVENT_FD_READWRITE_HANGUP;
    } else if (node instanceof FileNode) {
      bytes = Math.max(0, node.size - descriptor.offset);
    }
  }
  return { ...event, errno: Errno.success, bytes, flags };
}

/** Adds an event for each clock that is due; returns the milliseconds to the next one. */
function addDueClocks(state: WasiState, clocks: readonly ClockSubscription[], events: Event[]): number {
  let nextNs: bigint | undefined;
  for (const { userdata, clock, dueNs } of clocks) {
    const leftNs = dueNs - (readClock(state, clock) ?? dueNs);
    if (leftNs <= 0n) {
      events.push({ userdata, errno: Errno.success, type: EventType.clock, bytes: 0, flags: 0 });
    } else if (nextNs === undefined || leftNs < nextNs) {
      nextNs = leftNs;
    }
  }
  return nextNs === undefined ? 0 : Math.min(Math.ceil(Number(nextNs) / 1e6), MAX_SLEEP_MS);
}

function writeEvents(state: WasiState, events: readonly Event[], call: { events: number; result: number }): number {
  const { memory } = state;
  let at = call.events;
  for (const { userdata, errno, type, bytes, flags } of events) {
    memory.bytes.fill(0, at, at + EVENT_BYTES);
    memory.view.setBigUint64(at, userdata, true);
    memory.view.setUint16(at + 8, errno, true);
    memory.view.setUint8(at + 10, type);
    memory.view.setBigUint64(at + 16, BigInt(bytes), true);
    memory.view.setUint16(at + 24, flags, true);
    at += EVENT_BYTES;
  }
  memory.setU32(call.result, events.length);
  return Errno.success;
}
