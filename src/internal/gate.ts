import { ToolRuntimeError } from "../errors.ts";
import { Line, type Spot } from "./line.ts";
import { Returns, type Pace, type Promised, type Visitor } from "./returns.ts";

/** What one tenant may have of a backend. */
export interface TenantQuota {
  /** Default: as many as there are. */
  readonly running?: number;
  /** Default: the same share of the queue as of the places. */
  readonly queued?: number;
}

export interface Concurrency {
  /** How many runs at once. */
  readonly running: number;
  /** How many may wait for a place; more are refused with `ERR_QUEUE_FULL`. */
  readonly queued: number;
  /** By name; `"*"` is for those that are not named. Default: no quotas. */
  readonly tenants?: Readonly<Record<string, TenantQuota>>;
}

/** How full something is. */
export interface Load {
  readonly running: number;
  /** Runs at once. Absent: no bound. */
  readonly capacity?: number;
  readonly queued: number;
  /** The most that may wait. Absent: no bound. */
  readonly queue?: number;
}

type Enter = () => void;

/** What a tenant has of the gate. There while it has anything. */
interface Lane {
  readonly tenant: string | undefined;
  readonly maxRunning: number;
  readonly maxQueued: number;
  running: number;
  readonly waiting: Line<Enter>;
  /** Where it stands among the tenants of whom somebody waits and may run. */
  turn: Spot<Lane> | undefined;
}

/** Until runs have ended, one is taken to last so long. */
const guessMs = 100;
const nobody: Visitor = Object.freeze({});

/**
 * A bounded queue in front of a bounded number of places. A free place goes to the tenants in turn, to each one's first. Each step takes
 * the same time however many wait.
 *
 * Whoever is refused is promised a place for later. While somebody who was promised one may come, a quarter of the queue is for those who
 * come for the first time, and a place that nobody wants is theirs as well: no place stays free because of those who do not come. For those
 * who come again there is half a queue more.
 */
export class Gate {
  readonly #limits: Concurrency;
  readonly #capacity: (() => number | undefined) | undefined;
  readonly #lanes = new Map<string | undefined, Lane>();
  readonly #turns = new Line<Lane>();
  readonly #returns = new Returns();
  #running = 0;
  #queued = 0;
  /** Time that runs took, all together, and how many ended; both fade, so that the newest count most. */
  #tookMs = guessMs;
  #ended = 1;
  #changedAt = performance.now();

  /** `capacity`: how many places there are at the moment, where that changes; never more than the limit, never fewer than one. */
  constructor(limits: Concurrency, capacity?: () => number | undefined) {
    this.#limits = limits;
    this.#capacity = capacity;
  }

  get #places(): number {
    const { running } = this.#limits;
    return this.#capacity === undefined ? running : Math.max(1, Math.min(running, this.#capacity() ?? running));
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#queued;
  }

  get load(): Load {
    const { queued } = this.#limits;
    const places = this.#places;
    return {
      running: this.#running,
      ...(Number.isFinite(places) ? { capacity: places } : {}),
      queued: this.#queued,
      ...(Number.isFinite(queued) ? { queue: queued } : {}),
    };
  }

  /**
   * Takes a place at once, or waits for one until the signal is aborted. Whoever entered calls `leave` once, with the same tenant.
   *
   * @throws `ERR_QUEUE_FULL`; `details` have `retryAfterMs` and the `ticket` by which the caller is known when he comes again.
   */
  enter(signal: AbortSignal, visitor: Visitor = nobody): Promise<void> | void {
    signal.throwIfAborted();
    // There may be more places than when somebody left last.
    if (this.#capacity !== undefined) this.#handOut();
    const lane = this.#lane(visitor.tenant);
    const now = performance.now();
    const isPromised = this.#returns.isAwaiting(now) && this.#returns.redeem(visitor, now);
    // Of those who wait none may run, or there would be no place.
    if (this.#running < this.#places && lane.running < lane.maxRunning) {
      this.#take(lane);
      return;
    }
    if (lane.waiting.length >= lane.maxQueued && lane.maxQueued < this.#limits.queued) throw this.#overQuota(lane);
    if (this.#queued < this.#room(lane, isPromised, now)) return this.#wait(lane, signal);
    const pace = this.#pace();
    const promised = isPromised ? this.#returns.promiseSoon(visitor, now, pace) : this.#returns.promise(visitor, now, pace);
    this.#drop(lane);
    throw this.#full(promised);
  }

  /** Hands the place on. */
  leave(tenant?: string): void {
    const lane = this.#lane(tenant);
    this.#measure();
    // Each place counts alike: what ended long ago tells little.
    const fade = 1 - 1 / Math.max(32, 4 * Math.min(this.#limits.running, 1024));
    this.#tookMs *= fade;
    this.#ended = this.#ended * fade + 1;
    this.#running--;
    lane.running--;
    this.#queueUp(lane);
    this.#handOut();
    this.#drop(lane);
  }

  /** How much of the queue is open to this one. */
  #room({ tenant, waiting }: Lane, isPromised: boolean, now: number): number {
    const { queued } = this.#limits;
    if (!Number.isFinite(queued)) return queued;
    // Runs may have taken longer than those by which it was promised.
    if (isPromised) return queued + Math.floor(queued / 2);
    if (this.#returns.isAwaiting(now) && this.#returns.isKeeping(now, this.#pace())) return Math.floor(queued / 4);
    // Some is left for a tenant that has nobody there.
    return tenant === undefined || waiting.length === 0 ? queued : queued - Math.floor(queued / 8);
  }

  #wait(lane: Lane, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        lane.waiting.remove(spot);
        this.#queued--;
        if (lane.waiting.length === 0) this.#giveUpTurn(lane);
        this.#drop(lane);
        reject(signal.reason);
      };
      const spot = lane.waiting.push(() => {
        signal.removeEventListener("abort", stop);
        resolve();
      });
      this.#queued++;
      signal.addEventListener("abort", stop, { once: true });
      this.#queueUp(lane);
    });
  }

  #handOut(): void {
    while (this.#running < this.#places) {
      const lane = this.#turns.shift();
      if (lane === undefined) return;
      lane.turn = undefined;
      const enter = lane.waiting.shift();
      this.#queued--;
      this.#take(lane);
      this.#queueUp(lane);
      enter?.();
    }
  }

  /** Gives the tenant a turn where one of his waits and may run. */
  #queueUp(lane: Lane): void {
    if (lane.turn === undefined && lane.waiting.length > 0 && lane.running < lane.maxRunning) lane.turn = this.#turns.push(lane);
  }

  #giveUpTurn(lane: Lane): void {
    if (lane.turn !== undefined) this.#turns.remove(lane.turn);
    lane.turn = undefined;
  }

  #take(lane: Lane): void {
    this.#measure();
    this.#running++;
    lane.running++;
  }

  #lane(tenant: string | undefined): Lane {
    const known = this.#lanes.get(tenant);
    if (known !== undefined) return known;
    const { running, queued } = this.#limits;
    const quota = this.#quotaOf(tenant);
    const maxRunning = Math.min(quota?.running ?? running, running);
    const share = maxRunning === running ? queued : Math.ceil((queued * maxRunning) / running);
    const maxQueued = Math.min(quota?.queued ?? share, queued);
    const lane: Lane = { tenant, maxRunning, maxQueued, running: 0, waiting: new Line(), turn: undefined };
    this.#lanes.set(tenant, lane);
    return lane;
  }

  #quotaOf(tenant: string | undefined): TenantQuota | undefined {
    const { tenants } = this.#limits;
    if (tenants === undefined || tenant === undefined) return undefined;
    return Object.hasOwn(tenants, tenant) ? tenants[tenant] : tenants["*"];
  }

  #drop(lane: Lane): void {
    if (lane.running === 0 && lane.waiting.length === 0) this.#lanes.delete(lane.tenant);
  }

  #measure(): void {
    const now = performance.now();
    this.#tookMs += this.#running * (now - this.#changedAt);
    this.#changedAt = now;
  }

  get #runMs(): number {
    this.#measure();
    return Math.max(0.1, this.#tookMs / this.#ended);
  }

  #pace(): Pace {
    return { perMs: this.#places / this.#runMs, queue: this.#limits.queued };
  }

  #full(promised: Promised): ToolRuntimeError {
    const state = `${this.#running} run and ${this.#queued} wait already`;
    return new ToolRuntimeError("ERR_QUEUE_FULL", `Cannot queue the task: ${state}; send it again later`, {
      details: { running: this.#running, queued: this.#queued, ...promised },
    });
  }

  #overQuota(lane: Lane): ToolRuntimeError {
    const { tenant, maxRunning, running, waiting } = lane;
    const { length: queued } = waiting;
    const retryAfterMs = Math.ceil(this.#runMs / Math.max(1, maxRunning));
    this.#drop(lane);
    return new ToolRuntimeError(
      "ERR_QUEUE_FULL",
      `Cannot queue the task: ${running} of the tenant's run and ${queued} wait already, which is its quota; send it again later`,
      { details: { running, queued, ...(tenant === undefined ? {} : { tenant }), retryAfterMs } },
    );
  }
}
