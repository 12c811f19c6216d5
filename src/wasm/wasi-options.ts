import type { WasmRun } from "./artifact.ts";
import type { FileSystem, WasiOptions } from "./wasi/index.ts";

interface Streams {
  readonly program: string;
  readonly fs: FileSystem;
  /** Where its stdout goes: a plug-in's is logs. */
  readonly stdout: "stdout" | "stderr";
}

/** One run's WASI: every call, and all that it moves, is charged and looked at by the run's slices. */
export function wasiOptions({ io, slices, surroundings, clock }: WasmRun, { program, fs, stdout }: Streams): WasiOptions {
  const { random } = surroundings;
  const { skip } = clock;
  return {
    args: [program],
    env: io.env,
    fs,
    stdin: io.stdin,
    stdout: (bytes) => slices.hold(io[stdout](bytes), bytes.length),
    stderr: (bytes) => slices.hold(io.stderr(bytes), bytes.length),
    clock,
    sleep: skip === undefined ? (milliseconds) => slices.sleep(milliseconds) : async (milliseconds) => skip(milliseconds),
    pause: () => slices.pause(),
    charge: (units) => slices.work(units),
    called: () => slices.called(),
    ended: () => slices.poison(),
    // What a guest sees of a slow reader would differ from run to run.
    isCongested: skip === undefined ? () => slices.isCongested : undefined,
    random,
  };
}
