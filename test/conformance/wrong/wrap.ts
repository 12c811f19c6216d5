import type { Backend, Plan, RunIo, RunReport } from "../../../src/backend.ts";
import { createRuntime, type Call, type Result, type Runtime, type Task } from "../../../src/index.ts";
import type { Open } from "../targets.ts";

/** A runtime that is wrong in one way, and the cases that must find it out: these and no others. */
export interface WrongRuntime {
  readonly name: string;
  /** The right backend that it stands on. */
  readonly base: "wasm" | "unsafe";
  readonly fails: readonly string[];
  /** Which cases are run, where not all: those on processes take long. */
  readonly only?: (id: string) => boolean;
  readonly open: Open;
}

/** Does one run in another way than the backend would. */
export type Run = (run: Backend["run"], plan: Plan, io: RunIo) => Promise<RunReport>;

/** The right runtime on a backend whose runs go another way. Called once per runtime, so that it may keep state. */
export function wrongBackend(makeRun: () => Run): Open {
  return (backend, options) => {
    const run = makeRun();
    const wrong: Backend = {
      name: backend.name,
      probe: (signal) => backend.probe(signal),
      prepare: (plan, signal) => backend.prepare(plan, signal),
      run: (plan, io) => run((...args) => backend.run(...args), plan, io),
      leftovers: () => backend.leftovers(),
      reap: () => backend.reap(),
      close: () => backend.close(),
    };
    return createRuntime({ ...options, backend: wrong });
  };
}

/** Does one call in another way than the runtime would. */
export type Execute = (right: Runtime, task: Task, call: Call) => Promise<Result>;

/** The right runtime behind calls that go another way. */
export function wrongCalls(execute: Execute): Open {
  return (backend, options) => {
    const right = createRuntime({ ...options, backend });
    return wrongRuntime(right, { execute: (task, call = {}) => execute(right, task, call) });
  };
}

export function wrongRuntime(right: Runtime, wrong: Partial<Pick<Runtime, "execute" | "close">>): Runtime {
  const close = wrong.close ?? (() => right.close());
  return {
    backend: right.backend,
    security: right.security,
    execute: wrong.execute ?? ((task, call) => right.execute(task, call)),
    explain: (task) => right.explain(task),
    probe: () => right.probe(),
    load: () => right.load(),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The same side of the run with some of it changed. The signal is read when it is asked for, as the contract has it. */
export function changeIo(io: RunIo, changed: Partial<RunIo>): RunIo {
  return {
    ...io,
    stdout: (bytes) => io.stdout(bytes),
    stderr: (bytes) => io.stderr(bytes),
    started: () => io.started(),
    file: (file) => io.file(file),
    get signal() {
      return io.signal;
    },
    ...changed,
  };
}
