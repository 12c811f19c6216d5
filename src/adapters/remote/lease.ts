import { ToolRuntimeError } from "../../errors.ts";

export interface LeaseOptions {
  readonly ttlMs: number;
  /** Tells the node that whoever holds the lease lives. */
  readonly renew: (id: string, ttlMs: number) => Promise<void>;
}

/** A lease is renewed three times in its life, so that one or two renewals may be lost. */
const renewals = 3;

/**
 * The lease under which a node keeps what it was sent from here: where nobody renews it, the node ends the runs. Each run has
 * a timer of its own, for on Workers a timer and what it sends belong to one request; whichever is first renews for all.
 */
export class Lease {
  readonly #options: LeaseOptions;
  #id: string | undefined;
  #renewedAt = Number.NEGATIVE_INFINITY;
  /** The node does not know leases. */
  #isUnknown = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  get id(): string {
    return (this.#id ??= crypto.randomUUID());
  }

  /** The node may be another one than when it was asked last. */
  forget(): void {
    this.#isUnknown = false;
  }

  /** Keeps the lease until what is given back is called. */
  hold(): () => void {
    const everyMs = this.#options.ttlMs / renewals;
    this.#renewIfOlder(everyMs);
    const timer: { unref?: () => void } | number = setInterval(() => this.#renewIfOlder(everyMs * 0.8), everyMs);
    // The connection of the run keeps the process; a timer must not.
    if (typeof timer === "object") timer.unref?.();
    return () => clearInterval(timer as ReturnType<typeof setInterval>);
  }

  #renewIfOlder(ageMs: number): void {
    const now = performance.now();
    if (this.#isUnknown || now - this.#renewedAt < ageMs) return;
    this.#renewedAt = now;
    this.#options.renew(this.id, this.#options.ttlMs).catch((error: unknown) => {
      if (error instanceof ToolRuntimeError && isUnknownThere(error)) this.#isUnknown = true;
      // The next tick tries again.
      else this.#renewedAt = Number.NEGATIVE_INFINITY;
    });
  }
}

function isUnknownThere({ code }: ToolRuntimeError): boolean {
  return code === "ERR_ROUTE_NOT_FOUND" || code === "ERR_METHOD_NOT_ALLOWED" || code === "ERR_FORBIDDEN";
}
