import type { ExecutionEvent } from "../../../src/index.ts";
import { changeIo, wrongBackend, wrongCalls, type WrongRuntime } from "./wrap.ts";

export const wrongEvents: readonly WrongRuntime[] = [
  {
    name: "gives out each two events in the wrong order",
    base: "wasm",
    fails: ["streams-large", "files-in", "events-sequence", "events-order", "events-live", "concurrency-bounded"],
    open: wrongCalls(async (right, task, call) => {
      const { onEvent } = call;
      if (onEvent === undefined) return right.execute(task, call);
      let held: ExecutionEvent | undefined;
      const swap = async (event: ExecutionEvent): Promise<void> => {
        if (event.type === "started") return onEvent(event);
        const first = held;
        held = first === undefined ? event : undefined;
        if (first === undefined) return;
        await onEvent(event);
        await onEvent(first);
      };
      const result = await right.execute(task, { ...call, onEvent: swap });
      if (held !== undefined) await onEvent(held);
      return result;
    }),
  },
  {
    name: "reads on while the listener is busy",
    base: "wasm",
    fails: ["events-back-pressure"],
    open: wrongBackend(() => (run, plan, io) => {
      const ignore = (taken: void | Promise<void>): void => void taken?.catch(() => undefined);
      return run(plan, changeIo(io, { stdout: (bytes) => ignore(io.stdout(bytes)), stderr: (bytes) => ignore(io.stderr(bytes)) }));
    }),
  },
  {
    name: "goes on when the listener throws",
    base: "wasm",
    fails: ["listener-throws", "listener-rejects"],
    open: wrongCalls((right, task, call) => {
      const onEvent = async (event: ExecutionEvent): Promise<void> => {
        try {
          await call.onEvent?.(event);
        } catch {
          // That is what is wrong with it.
        }
      };
      return right.execute(task, { ...call, onEvent });
    }),
  },
];
