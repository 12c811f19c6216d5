/** Calls back once the event loop has looked at its timers, its messages and its sockets. */
export type EventLoopTurn = (go: () => void) => void;

/**
 * The engine's own way to give the event loop a turn. A message to oneself is none: on Node, Bun, Deno and workerd a loop of
 * messages lets no timer through. Where only `setTimeout` is left it is workerd's, which does not add the millisecond that
 * others do, and on whose production the clock moves with it.
 */
export function eventLoopTurn(): EventLoopTurn {
  const { setImmediate: immediate }: { readonly setImmediate?: (go: () => void) => unknown } = globalThis;
  return immediate === undefined ? (go) => void setTimeout(go, 0) : (go) => void immediate(go);
}

/** The longest that one guest may keep the event loop to itself while something else could run, in ms. */
export const stretchMs = 0.5;
/** How many stretches of guests there may be in one turn; a guest that waits has one in each, the others are those that begin. */
const maxStretches = 4;
/** Guests that end sooner are not counted: asking for a turn costs more than they take. */
const shortMs = 0.1;

/** How many turns a guest that was chosen may stay away before another has its place. */
const maxPatience = 16;

interface Waiter {
  /** The place in the order of asking. */
  readonly order: number;
  readonly go: () => void;
  hasLeft: boolean;
}

/**
 * Shares one event loop between guests and everything else: however many guests there are, one of those that wait goes on in
 * each turn, the one that has waited longest.
 *
 * Each waits by a callback of its own. On workerd a timer is its request's and dies with it, so nobody may depend on that of
 * another.
 */
export class Turns {
  readonly #next: EventLoopTurn;
  /** The number of turns that were seen. */
  #turn = 0;
  #lastOrder = 0;
  /** When a guest was first let in since the turn began; nothing where none was. */
  #since: number | undefined;
  #stretches = 0;
  #markedTurn = -1;
  /** Whether one of those that wait had this turn. */
  #isTaken = false;
  /** Who has this turn: of those that were refused in the last one the first. */
  #chosen: Waiter | undefined;
  #candidate: Waiter | undefined;
  /** For how many more turns the chosen one is waited for: on workerd callbacks of one turn need not come in one. */
  #patience = 0;

  constructor(next: EventLoopTurn = eventLoopTurn()) {
    this.#next = next;
  }

  /**
   * To be told how long a guest has run since it was let in, by `performance.now()`, which on some platforms stands still
   * meanwhile. Whether it was counted as a stretch; one that was need not be told of again.
   */
  note(from: number, to: number): boolean {
    if (to !== from && to - from < shortMs && this.#since === undefined) return false;
    this.#since ??= from;
    this.#stretches++;
    if (this.#markedTurn === this.#turn) return true;
    this.#markedTurn = this.#turn;
    this.#afterTurn(() => undefined);
    return true;
  }

  /** Whether the event loop must have a turn before a guest goes on. */
  isDue(nowMs: number): boolean {
    return this.#since !== undefined && (nowMs - this.#since >= stretchMs || this.isFull);
  }

  /** Whether no other guest may begin in this turn. */
  get isFull(): boolean {
    return this.#stretches >= maxStretches;
  }

  /** Calls back when it is this guest's turn. The function that it gives back takes it out of the queue. */
  wait(go: () => void): () => void {
    const waiter: Waiter = { order: ++this.#lastOrder, go, hasLeft: false };
    this.#afterTurn(() => this.#tryOut(waiter));
    return () => {
      waiter.hasLeft = true;
    };
  }

  #tryOut(waiter: Waiter): void {
    if (waiter.hasLeft) return;
    if (!this.#isTaken && (this.#chosen === undefined || this.#chosen === waiter || this.#chosen.hasLeft)) {
      this.#isTaken = true;
      waiter.hasLeft = true;
      waiter.go();
      return;
    }
    if (this.#candidate === undefined || waiter.order < this.#candidate.order) this.#candidate = waiter;
    this.#afterTurn(() => this.#tryOut(waiter));
  }

  /** Callbacks that were asked for in the same turn come in the same one; the first of them sees that it is another. */
  #afterTurn(go: () => void): void {
    const asked = this.#turn;
    this.#next(() => {
      if (asked === this.#turn) this.#begin();
      go();
    });
  }

  #begin(): void {
    this.#turn++;
    this.#since = undefined;
    this.#stretches = 0;
    this.#isTaken = false;
    const isAwaited = this.#chosen !== undefined && !this.#chosen.hasLeft && this.#patience > 0;
    if (isAwaited) {
      this.#patience--;
    } else {
      this.#chosen = this.#candidate;
      this.#patience = maxPatience;
    }
    this.#candidate = undefined;
  }
}
