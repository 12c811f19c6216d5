import { InputStream, OutputStream, Pollable, streamSink } from "./io.ts";
import type { RunState } from "./run-state.ts";

/** `wasi:cli`, `wasi:clocks` and `wasi:random` 0.2 (https://github.com/WebAssembly/WASI/tree/v0.2.0/wasip2). */

const maxRandomBytes = 65_536;

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
  const monotonicNs = (): bigint => BigInt(Math.floor(performance.now() * 1000)) * 1000n;
  const resolutionNs = 1000n;
  const afterNs = (ns: bigint): Pollable => new Pollable(state, performance.now() + Number(ns) / 1e6);
  return {
    "wasi:clocks/monotonic-clock": {
      now: monotonicNs,
      resolution: () => resolutionNs,
      subscribeInstant: (instantNs: bigint) => {
        const leftNs = instantNs - monotonicNs();
        return afterNs(leftNs > 0n ? leftNs : 0n);
      },
      subscribeDuration: afterNs,
    },
    "wasi:clocks/wall-clock": {
      now: () => toDatetime(BigInt(Date.now()) * 1_000_000n),
      resolution: () => ({ seconds: 0n, nanoseconds: 1_000_000 }),
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
    if (length > BigInt(state.maxBytes)) throw new TypeError(`the guest asked for ${length} random bytes`);
    const filled = new Uint8Array(Number(length));
    for (let at = 0; at < filled.length; at += maxRandomBytes) crypto.getRandomValues(filled.subarray(at, at + maxRandomBytes));
    return filled;
  };
  const u64 = (): bigint => crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n;
  return {
    "wasi:random/random": { getRandomBytes: bytes, getRandomU64: u64 },
    "wasi:random/insecure": { getInsecureRandomBytes: bytes, getInsecureRandomU64: u64 },
    // The public shim gives one seed to everything in the process; here each run has its own.
    "wasi:random/insecure-seed": { insecureSeed: () => [u64(), u64()] },
  };
}
