import type { Plan, RunIo, RunReport } from "../../backend.ts";
import { ToolRuntimeError, toToolRuntimeError } from "../../errors.ts";
import { pause } from "../../internal/client/retries.ts";
import { mayMove, translate } from "./answers.ts";
import type { RetryBudget } from "./budget.ts";
import { choose, type Random } from "./choice.ts";
import { Delegation, type DelegationSettings } from "./delegation.ts";
import type { Catalog, Peer } from "./peer.ts";
import { Diverged, Relay } from "./relay.ts";
import { openTicket, sealTicket } from "./tickets.ts";

export interface Candidate {
  readonly peer: Peer;
  readonly catalog: Catalog;
  readonly tier: number;
}

export interface AttemptSettings extends DelegationSettings {
  readonly random: Random;
  /** Absent: nothing is sent to two nodes at once. */
  readonly hedgeAfterMs: number | undefined;
}

export interface AttemptOptions {
  readonly plan: Plan;
  readonly io: RunIo;
  readonly settings: AttemptSettings;
  /** For other nodes, and for nodes that are full. */
  readonly budget: RetryBudget;
  /** For the same question under the same key: one of its own, since a fleet that is full loses answers too. */
  readonly repeats: RetryBudget;
  /** The nodes that could take the run as things are. */
  readonly candidates: () => readonly Candidate[];
  /** Told of work that goes on behind the run's back: the ending of one that was not needed any more. */
  readonly background: (work: Promise<unknown>) => void;
}

/** What one attempt came to. */
type Outcome = { readonly report: RunReport } | { readonly error: ToolRuntimeError };

/** How one attempt stands beside others. */
interface Side {
  /** Ends it where another one is heard. */
  readonly aside: AbortSignal | undefined;
  readonly onClaim: (() => void) | undefined;
  readonly isRepeat: boolean;
}

/** The most that is waited between attempts besides what a node advises, doubled from one to the next. */
const firstPauseMs = 50;
const maxPauseMs = 1000;
/** Whoever is told to wait longer is told so, and decides for himself. */
const maxAdvisedMs = 60_000;

/** One run over the nodes: which one is asked first, and which one next where that one does not take it or is lost. */
export class Attempts {
  readonly #options: AttemptOptions;
  readonly #relay: Relay;
  readonly #isIdempotent: boolean;
  /** One key for each node, so that it never runs the same run twice. */
  readonly #keys = new Map<Peer, string>();
  /** From nodes that are full: for each the place that it keeps. */
  readonly #tickets = new Map<Peer, string>();
  /** Nodes that were asked since the last pause. */
  readonly #asked = new Set<Peer>();
  #refusal: ToolRuntimeError | undefined;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.#isIdempotent = options.plan.tool.manifest.annotations?.idempotentHint === true;
    this.#relay = new Relay(options.io, this.#isIdempotent);
  }

  async run(): Promise<RunReport> {
    const { io, budget, repeats } = this.#options;
    budget.earn();
    repeats.earn();
    let last: ToolRuntimeError | undefined;
    for (let attempt = 0; ; attempt++) {
      const candidate = await this.#nextOrPause(attempt, last);
      const outcome = attempt === 0 ? await this.#runHedged(candidate) : await this.#runOn(candidate);
      if ("report" in outcome) return outcome.report;
      last = outcome.error;
      if (io.signal.aborted || !this.#mayGoOn(last)) throw last;
      // That they are busy says most: it tells when to come again, and the soonest is the best.
      const isFull = last.code === "ERR_QUEUE_FULL" && (this.#refusal?.code !== "ERR_QUEUE_FULL" || waitOf(last) < waitOf(this.#refusal));
      if (this.#refusal === undefined || isFull) this.#refusal = last;
    }
  }

  /** The node to ask. Those that are full are asked again when they say, where the deadline allows. @throws why there is none. */
  async #nextOrPause(attempt: number, last: ToolRuntimeError | undefined): Promise<Candidate> {
    const { io, budget, plan } = this.#options;
    const refusal = this.#refusal ?? unavailable(plan);
    const next = this.#next();
    const pauseMs = next === undefined ? this.#pauseMs(attempt, refusal) : 0;
    if (pauseMs === undefined) throw refusal;
    // What was never sent is no load on anybody.
    if (last !== undefined && !isUnsent(last) && !budget.spend()) throw refusal;
    if (next !== undefined) return next;
    await pause(pauseMs, io.signal);
    this.#asked.clear();
    const again = this.#next();
    if (again === undefined) throw refusal;
    return again;
  }

  #mayGoOn(error: ToolRuntimeError): boolean {
    if (mayMove(error)) return true;
    if (!error.started || !this.#relay.mayRepeat) return false;
    return error.actor === "operator" || error.actor === "platform";
  }

  /** The next node that has not been asked. */
  #next(): Candidate | undefined {
    const { io, candidates, settings } = this.#options;
    const left = candidates().filter(({ peer }) => !this.#asked.has(peer));
    // Whoever comes again goes where a place is kept for him.
    const isKept = ({ peer }: Candidate): boolean =>
      openTicket(peer.name, io.ticket) !== undefined || (peer.load.fullForMs === 0 && this.#tickets.has(peer));
    const kept = left.filter(isKept);
    return choose(kept.length > 0 ? kept : left, settings.random);
  }

  #ticketFor(peer: Peer, { ticket }: RunIo): string | undefined {
    return this.#tickets.get(peer) ?? openTicket(peer.name, ticket);
  }

  /** How long to wait for those that are full; nothing where it is no use, or too long. */
  #pauseMs(attempt: number, { code }: ToolRuntimeError): number | undefined {
    const { io, settings, candidates } = this.#options;
    const remainingMs = io.remainingMs?.();
    const waits = candidates().map(({ peer }) => peer.load.fullForMs);
    const advisedMs = Math.min(...waits);
    if (code !== "ERR_QUEUE_FULL" || remainingMs === undefined || waits.length === 0 || advisedMs > maxAdvisedMs) return undefined;
    const pauseMs = advisedMs + settings.random() * Math.min(maxPauseMs, firstPauseMs * 2 ** attempt);
    return pauseMs < remainingMs ? pauseMs : undefined;
  }

  /** One attempt, and, where the answer to it was lost before it came, the question once more under the same key. */
  async #runOn(candidate: Candidate, aside?: AbortSignal, onClaim?: () => void): Promise<Outcome> {
    const { settings, io, repeats } = this.#options;
    this.#asked.add(candidate.peer);
    const side = { aside, onClaim, isRepeat: false };
    const { outcome, isAccepted } = await this.#delegate(candidate, side);
    // Another process would take the question for a new one.
    const isKnownThere = !isAccepted && candidate.catalog.instance !== undefined && this.#relay.isFresh;
    if ("report" in outcome || !isLost(outcome.error) || !isKnownThere || this.#isOver(aside) || !repeats.spend()) return outcome;
    await pause(settings.random() * firstPauseMs, io.signal).catch(() => undefined);
    if (this.#isOver(aside)) return outcome;
    const again = await this.#delegate(candidate, { ...side, isRepeat: true });
    // A refusal says nothing of the run that was asked for first.
    return "report" in again.outcome || again.isAccepted ? again.outcome : outcome;
  }

  #isOver(aside: AbortSignal | undefined): boolean {
    return this.#options.io.signal.aborted || aside?.aborted === true;
  }

  async #delegate(
    { peer, catalog }: Candidate,
    { aside, onClaim, isRepeat }: Side,
  ): Promise<{ readonly outcome: Outcome; readonly isAccepted: boolean }> {
    const { plan, io, settings } = this.#options;
    const attempt = peer.standing.begin();
    const signal = aside === undefined ? io.signal : AbortSignal.any([io.signal, aside]);
    const key = this.#keys.get(peer) ?? crypto.randomUUID();
    this.#keys.set(peer, key);
    const own = this.#relay.ioFor(attempt, signal, () => onClaim?.());
    const ticket = this.#ticketFor(peer, io);
    this.#tickets.delete(peer);
    const delegation = new Delegation({ peer, catalog, plan, io: own, settings, key, ticket, isRepeat, attempt });
    try {
      const report = await delegation.run();
      // A tool that writes nothing has nothing to say before its end.
      if (!this.#relay.claim(attempt)) throw new Diverged();
      onClaim?.();
      return { outcome: { report }, isAccepted: true };
    } catch (cause) {
      this.#relay.release(attempt);
      const error =
        cause instanceof Diverged ? (this.#refusal ?? superseded()) : this.#sealed(translate(toToolRuntimeError(cause), peer, io.id), peer);
      if (!error.started && error.code !== "ERR_CONNECTION_FAILED" && error.code !== "ERR_ANSWER_INVALID") peer.noteRefusal(plan, error);
      return { outcome: { error }, isAccepted: delegation.isAccepted };
    }
  }

  #sealed(error: ToolRuntimeError, peer: Peer): ToolRuntimeError {
    const { ticket } = error.details;
    if (typeof ticket !== "string") return error;
    this.#tickets.set(peer, ticket);
    const { code, message, started, id, backend, partial, cause } = error;
    const sealed = new ToolRuntimeError(code, message, {
      started,
      details: { ...error.details, ticket: sealTicket(peer.name, ticket) },
      cause,
    });
    return sealed.with({
      ...(id === undefined ? {} : { id }),
      ...(backend === undefined ? {} : { backend }),
      ...(partial === undefined ? {} : { partial }),
    });
  }

  /** Where the tool may run twice and takes its time to say anything, another node is asked besides. */
  async #runHedged(first: Candidate): Promise<Outcome> {
    const { settings, budget, io, background } = this.#options;
    const { hedgeAfterMs } = settings;
    if (hedgeAfterMs === undefined || !this.#isIdempotent) return this.#runOn(first);
    const sides: { readonly controller: AbortController; readonly done: Promise<Outcome> }[] = [];
    const start = (candidate: Candidate): void => {
      const controller = new AbortController();
      const win = (): void => sides.filter((side) => side.controller !== controller).forEach((side) => side.controller.abort());
      sides.push({ controller, done: this.#runOn(candidate, controller.signal, win) });
    };
    start(first);
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), hedgeAfterMs);
    const early = await Promise.race([sides[0]?.done, late.promise]);
    clearTimeout(timer);
    if (early !== undefined) return early;
    const second = this.#relay.isFresh && !io.signal.aborted ? this.#next() : undefined;
    if (second !== undefined && budget.spend()) start(second);
    const outcome = await firstGood(sides.map(({ done }) => done));
    for (const { controller, done } of sides) {
      controller.abort();
      background(done);
    }
    return outcome;
  }
}

/** The first that brings something; else what the first one came to. */
async function firstGood(outcomes: readonly Promise<Outcome>[]): Promise<Outcome> {
  const good = outcomes.map(async (one) => {
    const outcome = await one;
    if ("error" in outcome) throw outcome.error;
    return outcome;
  });
  try {
    return await Promise.any(good);
  } catch {
    const [first] = await Promise.all(outcomes);
    return first ?? { error: superseded() };
  }
}

/** When to come again, in ms. */
function waitOf({ details: { retryAfterMs } }: ToolRuntimeError): number {
  return typeof retryAfterMs === "number" ? retryAfterMs : Number.POSITIVE_INFINITY;
}

/** No connection came about. */
function isUnsent({ code, started }: ToolRuntimeError): boolean {
  return code === "ERR_CONNECTION_FAILED" && !started;
}

/** Whether it is not known what became of the request. Who was silent for as long as is waited would be so again. */
function isLost({ code, started, details }: ToolRuntimeError): boolean {
  return code === "ERR_CONNECTION_FAILED" && started && details["idleMs"] === undefined;
}

function superseded(): ToolRuntimeError {
  return new ToolRuntimeError("ERR_BACKEND_FAILED", "Cannot go on with the task: another node has said something else of it", {
    started: true,
  });
}

function unavailable({ tool, artifact, profile }: Plan): ToolRuntimeError {
  return new ToolRuntimeError(
    "ERR_BACKEND_UNAVAILABLE",
    `Cannot run the tool "${tool.manifest.name}" on backend "remote": no node that can hold it answers; start one`,
    { backend: "remote", details: { tool: tool.manifest.name, artifact, profile } },
  );
}
