import { ToolRuntimeError } from "../errors.ts";
import { exitCodes } from "./exit-codes.ts";
import type { Terminal } from "./terminal.ts";

/** What ended a run from the terminal's side. */
export interface Interruption {
  readonly signal: AbortSignal;
  /** The exit code of what happened, once something did. */
  readonly exitCode: number | undefined;
  dispose(): void;
}

const codes = { SIGINT: exitCodes.interrupted, SIGTERM: 143, SIGHUP: 129 } as const;

/**
 * Turns Ctrl-C, SIGTERM, SIGHUP and a reader of stdout that goes away into an abort. A second signal ends this process at
 * once.
 *
 * A listener takes the signal's own effect away. With code that runs inside this process and may loop without end, the
 * listener would never be called; there `catches` is `"pipe"`, and the signal kills the process as it always did.
 */
export function interruptionOf(terminal: Terminal, catches: "all" | "pipe"): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const end = (code: number, why: string): void => {
    if (exitCode !== undefined && code !== exitCodes.brokenPipe) process.exit(code);
    exitCode ??= code;
    controller.abort(new ToolRuntimeError("ERR_ABORTED", `Cannot go on with the task: ${why}`));
  };
  const listeners = Object.entries(codes).map(([name, code]) => [name, () => end(code, `this process got ${name}`)] as const);
  if (catches === "all") for (const [name, listener] of listeners) process.on(name, listener);
  const onGone = () => end(exitCodes.brokenPipe, "nobody reads stdout any more");
  terminal.stdoutGone.addEventListener("abort", onGone, { once: true });
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    dispose() {
      for (const [name, listener] of listeners) process.off(name, listener);
      terminal.stdoutGone.removeEventListener("abort", onGone);
    },
  };
}
