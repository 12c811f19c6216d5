import { ClockId, Errno } from "./abi.ts";
import { ProcExit } from "./signals.ts";
import type { WasiState } from "./state.ts";

const RANDOM_PIECE_BYTES = 65_536;

export function argsGet(state: WasiState, pointers: number, buffer: number): number {
  return writeStrings(state, argumentBytes(state), { pointers: pointers >>> 0, buffer: buffer >>> 0 });
}

export function argsSizesGet(state: WasiState, count: number, size: number): number {
  return writeSizes(state, argumentBytes(state), { count: count >>> 0, size: size >>> 0 });
}

export function environGet(state: WasiState, pointers: number, buffer: number): number {
  return writeStrings(state, environmentBytes(state), { pointers: pointers >>> 0, buffer: buffer >>> 0 });
}

export function environSizesGet(state: WasiState, count: number, size: number): number {
  return writeSizes(state, environmentBytes(state), { count: count >>> 0, size: size >>> 0 });
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

export function randomGet(state: WasiState, pointer: number, length: number): number {
  const { memory, options } = state;
  memory.refresh();
  const start = pointer >>> 0;
  const size = length >>> 0;
  memory.check(start, size);
  for (let done = 0; done < size; done += RANDOM_PIECE_BYTES) {
    const piece = new Uint8Array(Math.min(RANDOM_PIECE_BYTES, size - done));
    state.charge(piece.length / 16);
    if (options.random === undefined) crypto.getRandomValues(piece);
    else options.random(piece);
    memory.copyIn(start + done, piece);
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

function argumentBytes(state: WasiState): readonly Uint8Array[] {
  state.args ??= state.options.args.map(encodeString);
  return state.args;
}

function environmentBytes(state: WasiState): readonly Uint8Array[] {
  state.environment ??= Object.entries(state.options.env).map(([name, value]) => encodeString(`${name}=${value}`));
  return state.environment;
}

function encodeString(text: string): Uint8Array {
  const end = text.indexOf("\0");
  return new TextEncoder().encode(`${end < 0 ? text : text.slice(0, end)}\0`);
}

function writeSizes(
  state: WasiState,
  strings: readonly Uint8Array[],
  result: { count: number; size: number },
): number {
  const { memory } = state;
  memory.refresh();
  let total = 0;
  for (const { length } of strings) total += length;
  memory.setU32(result.count, strings.length);
  memory.setU32(result.size, total);
  return Errno.success;
}

function writeStrings(
  state: WasiState,
  strings: readonly Uint8Array[],
  result: { pointers: number; buffer: number },
): number {
  const { memory } = state;
  memory.refresh();
  let { pointers, buffer } = result;
  for (const bytes of strings) {
    memory.setU32(pointers, buffer);
    memory.copyIn(buffer, bytes);
    pointers += 4;
    buffer += bytes.length;
  }
  return Errno.success;
}
