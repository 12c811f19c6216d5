import { ClockId, Errno } from "./abi.ts";
import { ProcExit } from "./signals.ts";
import type { EncodedStrings, WasiState } from "./state.ts";
import { encodeUtf8 } from "./text.ts";

const RANDOM_PIECE_BYTES = 65_536;
/** Random bytes take about a hundred times as long as bytes that are moved. */
const RANDOM_BYTE_UNITS = 8;

export function argsGet(state: WasiState, pointers: number, buffer: number): number {
  return writeStrings(state, argumentStrings(state), { pointers: pointers >>> 0, buffer: buffer >>> 0 });
}

export function argsSizesGet(state: WasiState, count: number, size: number): number {
  return writeSizes(state, argumentStrings(state), { count: count >>> 0, size: size >>> 0 });
}

export function environGet(state: WasiState, pointers: number, buffer: number): number {
  return writeStrings(state, environmentStrings(state), { pointers: pointers >>> 0, buffer: buffer >>> 0 });
}

export function environSizesGet(state: WasiState, count: number, size: number): number {
  return writeSizes(state, environmentStrings(state), { count: count >>> 0, size: size >>> 0 });
}

export function clockResGet(state: WasiState, id: number, result: number): number {
  state.memory.refresh();
  if (id >>> 0 > ClockId.threadCputime) return Errno.inval;
  state.memory.setU64(result >>> 0, state.clock.resolutionNs);
  return Errno.success;
}

export function clockTimeGet(state: WasiState, id: number, result: number): number {
  state.memory.refresh();
  const time = readClock(state, id >>> 0);
  if (time === undefined) return Errno.inval;
  state.memory.setU64(result >>> 0, time);
  return Errno.success;
}

/** The processor-time clocks run with the monotonic one: only differences of them mean anything. */
export function readClock(state: WasiState, id: number): bigint | undefined {
  if (id === ClockId.realtime) return state.clock.realtimeNs();
  return id <= ClockId.threadCputime ? state.clock.monotonicNs() : undefined;
}

export function randomGet(state: WasiState, pointer: number, length: number): number | Promise<number> {
  const { memory, options } = state;
  memory.refresh();
  const start = pointer >>> 0;
  const size = length >>> 0;
  memory.check(start, size);
  const { pause } = options;
  if (size > RANDOM_PIECE_BYTES && pause !== undefined) return fillSlowly(state, { start, size, pause });
  for (let done = 0; done < size; done += RANDOM_PIECE_BYTES) fillPiece(state, start + done, Math.min(RANDOM_PIECE_BYTES, size - done));
  return Errno.success;
}

function fillPiece(state: WasiState, at: number, length: number): void {
  const { memory, options } = state;
  const piece = new Uint8Array(length);
  state.charge(length * RANDOM_BYTE_UNITS);
  try {
    if (options.random === undefined) crypto.getRandomValues(piece);
    else options.random(piece);
  } catch (error) {
    memory.end(error);
  }
  memory.copyIn(at, piece);
}

/** Random bytes come slowly: a hundred megabytes would hold up the host for a second. */
async function fillSlowly(
  state: WasiState,
  { start, size, pause }: { readonly start: number; readonly size: number; readonly pause: () => Promise<void> },
): Promise<number> {
  for (let done = 0; done < size; done += RANDOM_PIECE_BYTES) {
    fillPiece(state, start + done, Math.min(RANDOM_PIECE_BYTES, size - done));
    try {
      await pause();
    } catch (error) {
      state.memory.end(error);
    }
  }
  return Errno.success;
}

export function procExit(state: WasiState, code: number): never {
  state.memory.refresh();
  return state.memory.end(new ProcExit(code >>> 0));
}

/** There are no signals: none is delivered, and the one that means nothing succeeds. */
export function procRaise(state: WasiState, signal: number): number {
  state.memory.refresh();
  if (signal === 0) return Errno.success;
  return signal >>> 0 > 30 ? Errno.inval : Errno.notsup;
}

export function schedYield(state: WasiState): number {
  state.memory.refresh();
  return Errno.success;
}

function argumentStrings(state: WasiState): EncodedStrings {
  state.args ??= encodeStrings(state.options.args);
  return state.args;
}

function environmentStrings(state: WasiState): EncodedStrings {
  if (state.environment === undefined) {
    const { env } = state.options;
    state.environment = encodeStrings(Object.keys(env).map((name) => `${name}=${env[name] ?? ""}`));
  }
  return state.environment;
}

function encodeStrings(strings: readonly string[]): EncodedStrings {
  let text = "";
  for (const string of strings) {
    const end = string.indexOf("\0");
    text += end < 0 ? string : string.slice(0, end);
    text += "\0";
  }
  return { count: strings.length, bytes: encodeUtf8(text) };
}

function writeSizes(state: WasiState, strings: EncodedStrings, result: { count: number; size: number }): number {
  const { memory } = state;
  memory.refresh();
  memory.setU32(result.count, strings.count);
  memory.setU32(result.size, strings.bytes.length);
  return Errno.success;
}

function writeStrings(state: WasiState, strings: EncodedStrings, result: { pointers: number; buffer: number }): number {
  const { memory } = state;
  const { count, bytes } = strings;
  memory.refresh();
  memory.check(result.pointers, count * 4);
  memory.copyIn(result.buffer, bytes);
  let start = 0;
  for (let index = 0; index < count; index++) {
    memory.view.setUint32(result.pointers + index * 4, result.buffer + start, true);
    start = bytes.indexOf(0, start) + 1;
  }
  return Errno.success;
}
