import { circuitBreaker, CircuitState, ConsecutiveBreaker, handleWhen, type CircuitBreakerPolicy } from "cockatiel";
import type { ToolRuntimeError } from "../../errors.ts";

export interface StandingRules {
  /** So many failures, one after the other, take a node out. */
  readonly failures: number;
  /** For how long the first time; twice as long each time that its trial fails. */
  readonly outMs: number;
  readonly maxOutMs: number;
}

/** What a node came to: it may be chosen, it is out, or one run tries whether it is well again. */
export type StandingState = "in" | "out" | "trial";

/** One that lies is left out for so many times as long as one that cannot be reached. */
const lieFactor = 30;
/** A node has said by then whether it takes the run that tries it. */
const trialMs = 30_000;

interface Backoff {
  readonly duration: number;
  next(context: unknown): Backoff;
}

/** A failure that says nothing of the node. */
class Unknown extends Error {}

/** Whether a node is to be trusted with runs: a circuit breaker that a lie opens at once. */
export class Standing {
  readonly #breaker: Breaker;
  readonly #policy: CircuitBreakerPolicy;
  #until = 0;
  #triedAt = 0;
  #reason: ToolRuntimeError | undefined;
  #isLiar = false;

  constructor(rules: StandingRules, onChange: (state: StandingState) => void) {
    this.#breaker = new Breaker(rules.failures);
    // The breaker asks for the next one each time that a trial fails.
    const wait = (leastMs: number): Backoff => {
      const factor = this.#breaker.hasLied ? lieFactor : 1;
      const duration = Math.min(rules.maxOutMs * factor, Math.max(leastMs, rules.outMs * factor));
      this.#until = Date.now() + duration;
      return { duration, next: () => wait(duration * 2) };
    };
    this.#policy = circuitBreaker(
      handleWhen((error) => !(error instanceof Unknown) || this.#policy.state === CircuitState.HalfOpen),
      {
        breaker: this.#breaker,
        halfOpenAfter: { next: () => wait(0) },
      },
    );
    this.#policy.onStateChange((state) => {
      if (state === CircuitState.Closed) this.#forgive();
      onChange(stateOf(state));
    });
  }

  #forgive(): void {
    this.#reason = undefined;
    this.#isLiar = false;
    this.#breaker.hasLied = false;
    this.#breaker.success();
  }

  get state(): StandingState {
    return stateOf(this.#policy.state);
  }

  /** Whether a run may be sent. Of one that is out, once its time is over, the next run is the trial. */
  get mayServe(): boolean {
    const { state } = this;
    return state === "in" || (state === "out" && this.outForMs === 0) || this.#isStale;
  }

  /** The run that tried it has never said how it went; on Workers a request may end without a word. */
  get #isStale(): boolean {
    return this.state === "trial" && Date.now() - this.#triedAt > trialMs;
  }

  get outForMs(): number {
    return Math.max(0, this.#until - Date.now());
  }

  /** Whether it is out because it did not keep to the protocol. */
  get isLiar(): boolean {
    return this.#isLiar && this.state !== "in";
  }

  /** Why it is out. */
  get reason(): ToolRuntimeError | undefined {
    return this.state === "in" ? undefined : this.#reason;
  }

  /** A run is sent. The first one after the node's time out is its trial. */
  begin(): Attempt {
    return new Attempt(this);
  }

  /** @internal Whether this is the trial; it settles as the verdict does. */
  tryWith(verdict: Promise<void>): boolean {
    if (this.state !== "out" || this.outForMs > 0) return false;
    this.#triedAt = Date.now();
    void this.#policy.execute(() => verdict).catch(() => undefined);
    return true;
  }

  /** A node that was asked although it was out has answered well: there is nothing to try any more. */
  good(): void {
    if (this.#policy.state === CircuitState.Closed) this.#breaker.success();
    // Letting go of an isolated breaker closes it, whatever it was before.
    else if ((this.state === "out" && !this.#isLiar) || this.#isStale) this.#policy.isolate().dispose();
  }

  bad(error: ToolRuntimeError, isLie: boolean): void {
    this.#note(error, isLie);
    if (this.#isStale) this.#triedAt = Date.now();
    // In another state whoever tries it says how it went.
    if (this.#policy.state === CircuitState.Closed) void this.#count(error);
  }

  /** The breaker counts what it has executed. */
  async #count(error: ToolRuntimeError): Promise<void> {
    try {
      await this.#policy.execute(() => {
        throw error;
      });
    } catch {
      // It is the caller's already.
    }
  }

  #note(error: ToolRuntimeError, isLie: boolean): void {
    this.#reason = error;
    this.#isLiar ||= isLie;
    this.#breaker.hasLied = this.#isLiar;
  }

  /** @internal */
  noteTrial(error: ToolRuntimeError, isLie: boolean): void {
    this.#note(error, isLie);
  }
}

function stateOf(state: CircuitState): StandingState {
  if (state === CircuitState.Closed) return "in";
  return state === CircuitState.HalfOpen ? "trial" : "out";
}

class Breaker extends ConsecutiveBreaker {
  /** A run that ends well beside it takes back no lie. */
  hasLied = false;

  override failure(): boolean {
    return super.failure() || this.hasLied;
  }
}

/** One run as the breaker sees it. */
export class Attempt {
  readonly #standing: Standing;
  readonly #verdict = Promise.withResolvers<void>();
  readonly #isTrial: boolean;
  #isJudged = false;

  constructor(standing: Standing) {
    this.#standing = standing;
    this.#isTrial = standing.tryWith(this.#verdict.promise);
  }

  /** The node has taken the run as it should. That is enough for a trial: the run itself may last. */
  accepted(): void {
    if (!this.#isTrial || this.#isJudged) return;
    this.#isJudged = true;
    this.#verdict.resolve();
  }

  succeeded(): void {
    if (this.#isTrial) this.accepted();
    else this.#standing.good();
  }

  failed(error: ToolRuntimeError, isLie: boolean): void {
    if (this.#isTrial && !this.#isJudged) {
      this.#isJudged = true;
      this.#standing.noteTrial(error, isLie);
      this.#verdict.reject(error);
    } else this.#standing.bad(error, isLie);
  }

  /** It says nothing of the node: the caller left, or the task was at fault. */
  ended(): void {
    if (!this.#isTrial || this.#isJudged) return;
    this.#isJudged = true;
    this.#verdict.reject(new Unknown());
  }
}
