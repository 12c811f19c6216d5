import { setTimeout as sleep } from "node:timers/promises";
import { createRuntime, ToolRuntimeError, type Call } from "../../../src/index.ts";
import { changeIo, wrongBackend, wrongCalls, wrongRuntime, type WrongRuntime } from "./wrap.ts";

function without<K extends keyof Call>(call: Call, key: K): Omit<Call, K> {
  const { [key]: _left, ...rest } = call;
  return rest;
}

/** How much longer than its run a tool goes on. The end comes all the same, so that no test leaves a process behind. */
const outlivesMs = 1500;

export const wrongEndings: readonly WrongRuntime[] = [
  {
    name: "ignores the caller's signal",
    base: "wasm",
    fails: [
      "abort-before-start",
      "abort-during-run",
      "abort-sleeping",
      "abort-computing",
      "abort-one-of-many",
      "fresh-after-failure",
      "id-given",
    ],
    open: wrongCalls((right, task, call) => right.execute(task, without(call, "signal"))),
  },
  {
    name: "ignores the deadline",
    base: "wasm",
    fails: ["deadline-passed"],
    open: wrongCalls((right, task, call) => right.execute(task, without(call, "deadline"))),
  },
  {
    name: "never settles once it was aborted",
    base: "wasm",
    fails: [
      "listener-throws",
      "listener-rejects",
      "abort-before-start",
      "abort-during-run",
      "abort-sleeping",
      "abort-computing",
      "abort-one-of-many",
      "fresh-after-failure",
      "id-given",
    ],
    open: wrongCalls((right, task, call) => {
      const work = right.execute(task, call);
      return work.catch((error: unknown) => {
        if (error instanceof ToolRuntimeError && error.code === "ERR_ABORTED") return new Promise<never>(() => undefined);
        throw error;
      });
    }),
  },
  {
    name: "settles before the tool has ended",
    base: "unsafe",
    only: (id) => /^(abort|deadline|timeout|close|limit|output-limit|exit|result|secret|id|run|fresh|listener)-/.test(id),
    fails: ["abort-ends-tool", "timeout-ends-tool", "close-ends-tool"],
    open: wrongBackend(() => (run, plan, io) => {
      const late = new AbortController();
      const ended = new Promise<never>((_resolve, reject) => {
        io.signal.addEventListener("abort", () => {
          reject(io.signal.reason);
          void sleep(outlivesMs).then(() => late.abort(io.signal.reason));
        });
      });
      // After its run the tool may write as before: nobody hears it.
      const unheard = (write: (bytes: Uint8Array) => void | Promise<void>) => (bytes: Uint8Array) =>
        io.signal.aborted ? undefined : write(bytes);
      const work = run(plan, changeIo(io, { signal: late.signal, stdout: unheard(io.stdout), stderr: unheard(io.stderr) }));
      return Promise.race([work, ended]);
    }),
  },
  {
    name: "goes on after close",
    base: "wasm",
    fails: ["close-ends-running", "close-refuses-later", "close-by-disposal"],
    open: (backend, options) => wrongRuntime(createRuntime({ ...options, backend }), { close: () => Promise.resolve() }),
  },
  {
    name: "makes ids of its own",
    base: "wasm",
    fails: ["id-given"],
    open: wrongCalls((right, task, call) => right.execute(task, without(call, "id"))),
  },
  {
    name: "leaves out what an ended run had produced",
    base: "wasm",
    fails: [
      "output-mismatch",
      "output-not-json",
      "output-empty",
      "output-trailing",
      "output-deep",
      "output-infinite",
      "output-duplicate-key",
      "files-out-count",
      "timeout-sleeping",
      "timeout-computing",
      "cpu-time-limit",
      "fuel-limit",
      "fuel-at-every-end",
      "abort-during-run",
      "deadline-passed",
      "output-limit",
    ],
    open: wrongCalls((right, task, call) =>
      right.execute(task, call).catch((error: unknown) => {
        if (!(error instanceof ToolRuntimeError)) throw error;
        const { code, message, started, id, backend, details, cause } = error;
        const context = { started, details, cause, ...(id === undefined ? {} : { id }), ...(backend === undefined ? {} : { backend }) };
        throw new ToolRuntimeError(code, message, context);
      }),
    ),
  },
];
