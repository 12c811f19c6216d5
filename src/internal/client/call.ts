import { ToolRuntimeError } from "../../errors.ts";
import { formatLimit, parseQuantity, type Quantity } from "../../limits.ts";
import { wireHeaders } from "../../wire.ts";

export interface CallTimes {
  readonly signal?: AbortSignal;
  /** For everything, from now: ms, or `"30s"`. */
  readonly deadline?: Quantity;
}

/** A service ends what is over its deadline by itself and says so; whoever waits gives its answer so much time to arrive. */
const answerMs = 500;
/** Node fires a timer above this at once. */
const maxTimerMs = 2 ** 31 - 1;

/** One call of a client: what ends it from outside, and how long it has. To be closed. */
export class ClientCall {
  readonly signal: AbortSignal;
  readonly #until: number | undefined;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;

  /** @throws `ERR_ARGUMENT_INVALID` for a deadline that cannot be read. */
  constructor({ signal, deadline }: CallTimes) {
    const passed = new AbortController();
    this.signal = signal === undefined ? passed.signal : AbortSignal.any([signal, passed.signal]);
    if (deadline === undefined) return;
    const ms = parseQuantity("timeout", deadline);
    this.#until = performance.now() + ms;
    const pass = (): void => passed.abort(deadlinePassed(ms));
    this.#timer = setTimeout(pass, Math.min(ms + answerMs, maxTimerMs));
  }

  /** What is left of the deadline, in ms. */
  get remainingMs(): number {
    return this.#until === undefined ? Number.POSITIVE_INFINITY : this.#until - performance.now();
  }

  /** The deadline for the one who answers. @throws `ERR_DEADLINE` where it has passed. */
  headers(): Record<string, string> {
    const { remainingMs } = this;
    if (remainingMs === Number.POSITIVE_INFINITY) return {};
    if (remainingMs <= 0) throw deadlinePassed();
    return { [wireHeaders.deadline]: String(Math.ceil(remainingMs)) };
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}

function deadlinePassed(deadlineMs?: number): ToolRuntimeError {
  const which = deadlineMs === undefined ? "" : ` of ${formatLimit("timeout", deadlineMs)}`;
  return new ToolRuntimeError("ERR_DEADLINE", `Cannot finish the call: its deadline${which} has passed`, {
    details: deadlineMs === undefined ? {} : { deadlineMs },
  });
}
