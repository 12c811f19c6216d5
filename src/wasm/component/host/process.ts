import { InputStream, OutputStream, Pollable, streamSink } from "./io.ts";
import type { RunState } from "./run-state.ts";

/** `wasi:cli`, `wasi:clocks` and `wasi:random` 0.2 (https://github.com/WebAssembly/WASI/tree/v0.2.0/wasip2). */

const maxRandomBytes = 65_536;
/** The most random bytes of one call: nothing else of the host runs in the middle of it. */
const maxRandomList = 2 ** 20;
/** Random bytes take about a hundred times as long as bytes that are moved, of which sixteen are a unit. */
const randomWeight = 128;

/** No stream is a terminal: these have no instances, and are there because the interface names them. */
class TerminalInput {
  readonly kind = "input";
}
class TerminalOutput {
  readonly kind = "output";
}

export interface CliOptions {
  readonly program: string;
  /** Where the guest's stdout goes: a command's is its output, that of a tool with a result is logs. */
  readonly stdout: "stdout" | "stderr";
}

export function makeCli(state: RunState, { program, stdout }: CliOptions): Record<string, object> {
  const { io } = state;
  let offset = 0;
  const readStdin = (maxBytes: number): Uint8Array => {
    const bytes = io.stdin.slice(offset, offset + maxBytes);
    offset += bytes.length;
    return bytes;
  };
  const end = (exitCode: number): never => state.end({ exitCode });
  return {
    "wasi:cli/environment": {
      getEnvironment: () => Object.entries(io.env),
      getArguments: () => [program],
      initialCwd: () => "/",
    },
    "wasi:cli/exit": {
      exit: (status: { readonly tag: "ok" | "err" }) => end(status.tag === "err" ? 1 : 0),
      exitWithCode: end,
    },
    "wasi:cli/stdin": { getStdin: () => new InputStream(state, readStdin) },
    "wasi:cli/stdout": { getStdout: () => new OutputStream(state, streamSink(state, stdout)) },
    "wasi:cli/stderr": { getStderr: () => new OutputStream(state, streamSink(state, "stderr")) },
    "wasi:cli/terminal-input": { TerminalInput },
    "wasi:cli/terminal-output": { TerminalOutput },
    "wasi:cli/terminal-stdin": { getTerminalStdin: () => undefined },
    "wasi:cli/terminal-stdout": { getTerminalStdout: () => undefined },
    "wasi:cli/terminal-stderr": { getTerminalStderr: () => undefined },
  };
}

export function makeClocks(state: RunState): Record<string, object> {
  const { clock } = state;
  return {
    "wasi:clocks/monotonic-clock": {
      now: () => clock.monotonicNs(),
      resolution: () => clock.resolutionNs,
      subscribeInstant: (instantNs: bigint) => new Pollable(state, instantNs),
      subscribeDuration: (durationNs: bigint) => new Pollable(state, clock.monotonicNs() + durationNs),
    },
    "wasi:clocks/wall-clock": {
      now: () => toDatetime(clock.realtimeNs()),
      resolution: () => toDatetime(clock.resolutionNs),
    },
  };
}

export interface Datetime {
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

export function toDatetime(ns: bigint): Datetime {
  return { seconds: ns / 1_000_000_000n, nanoseconds: Number(ns % 1_000_000_000n) };
}

export function makeRandom(state: RunState): Record<string, object> {
  const bytes = (length: bigint): Uint8Array => {
    state.assertLive();
    if (length > BigInt(Math.min(maxRandomList, state.maxBytes))) throw new TypeError(`the guest asked for ${length} random bytes`);
    const filled = new Uint8Array(Number(length));
    state.move(filled.length * randomWeight);
    for (let at = 0; at < filled.length; at += maxRandomBytes) state.random(filled.subarray(at, at + maxRandomBytes));
    return filled;
  };
  const u64 = (): bigint => {
    const drawn = new Uint8Array(8);
    state.random(drawn);
    return new DataView(drawn.buffer).getBigUint64(0, true);
  };
  return {
    "wasi:random/random": { getRandomBytes: bytes, getRandomU64: u64 },
    "wasi:random/insecure": { getInsecureRandomBytes: bytes, getInsecureRandomU64: u64 },
    // The public shim gives one seed to everything in the process; here each run has its own.
    "wasi:random/insecure-seed": { insecureSeed: () => [u64(), u64()] },
  };
}
