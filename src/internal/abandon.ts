import type { Plan } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import type { Execution } from "./execution.ts";

/** How long a backend may take, beyond the grace, to end a run that was aborted before the call is given up on. */
const abandonAfterMs = 10_000;

/**
 * Waits for the backend; once the run was ended, only for the grace and ten seconds more. A caller never hangs on a
 * backend that does not end what it was told to end.
 */
export function untilAbandoned<T>(work: Promise<T>, execution: Execution, plan: Plan, backend: string): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    execution.whenEnded((reason) => {
      timer = setTimeout(() => {
        const error = new ToolRuntimeError(
          "ERR_BACKEND_FAILED",
          `Cannot end the run on backend "${backend}": it goes on ${abandonAfterMs} ms after it was told to stop`,
          {
            started: execution.started,
            details: { endedBy: reason.code },
            cause: reason,
          },
        );
        execution.isAbandoned = true;
        reject(error);
      }, plan.graceMs + abandonAfterMs);
    });
    const settle = (): void => {
      clearTimeout(timer);
      execution.whenEnded(undefined);
    };
    work.then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(error);
      },
    );
  });
}
