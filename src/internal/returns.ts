/** How a caller who was sent away is known when he comes again. */
export interface Visitor {
  /** Places are handed out in turn between tenants. */
  readonly tenant?: string | undefined;
  /** What a refusal gave him. */
  readonly ticket?: string | undefined;
  /** For one who does not send it back. */
  readonly caller?: CallerName | undefined;
}

/** What is the same each time that somebody sends the same request. */
export interface CallerName {
  readonly name: string;
  /** Whether no other request has this name, as with an idempotency key. */
  readonly isUnique: boolean;
}

/** A place in the queue that is kept for somebody who waits elsewhere. Without a ticket it is not kept: there are too many. */
export interface Promised {
  readonly ticket?: string;
  readonly retryAfterMs: number;
}

interface Entry {
  readonly ticket: string;
  readonly tenant: string | undefined;
  readonly caller: CallerName | undefined;
  /** When he was told to come. */
  readonly dueAt: number;
}

interface Outside {
  count: number;
  endsAt: number;
}

export interface Pace {
  /** How many leave in a millisecond while all places are taken. */
  readonly perMs: number;
  /** How many may wait at once. */
  readonly queue: number;
}

/** What of the throughput is promised; the rest bears wrong estimates, and serves those who come for the first time. */
const promisedShare = 0.6;
/** The same, with those whose promise was broken. */
const brokenShare = 0.8;
/** Retry-After has whole seconds (RFC 9110 §10.2.3): who comes again comes at the same time of the second as he came. */
const slotMs = 20;
const slotsPerSecond = 1000 / slotMs;
/** How much longer than by its measured pace a queue may take to be served. */
const drainSlack = 3;
/** How many seconds are looked at for one whose promise was broken. */
const maxTries = 10;
/** Timers and networks are late, sometimes a little early. */
const earlyMs = 100;
const lateMs = 5000;
/** After the last was to come, those who come for the first time need not wait for him. */
const keptMs = 2000;
/** About 10 MB at most, half of it for one of many tenants. Who cannot be kept in mind is told a time, and no place is kept for him. */
const maxEntries = 32_768;
const maxAheadMs = 600_000;
/** The weight of one caller in the measured share of those who do come again, and the least that is believed of it. */
const habit = 1 / 64;
const leastShare = 1 / 32;

/**
 * The places promised to callers who were refused: a queue outside of the queue. A refusal names the second at which the callers before
 * will have been served, and no more are told to come at one time than the queue takes then. Kept in memory, bounded, and forgotten soon
 * after their time. All times are those of `performance.now()`.
 */
export class Returns {
  readonly #byTicket = new Map<string, Entry>();
  /** Whoever sends the same request many times at once is one name with as many promises, the oldest first. */
  readonly #byCaller = new Map<string, Set<Entry>>();
  /** By the second in which they run out. */
  readonly #expiring = new Map<number, Entry[]>();
  #sweptSecond = 0;
  /** Of each tenant how many wait outside, and when the last of them will have been served. */
  readonly #tenants = new Map<string | undefined, Outside>();
  #prunedAt = 0;
  /** Of those that are outside since there last was nobody. */
  #firstDueAt = Number.POSITIVE_INFINITY;
  #lastEnd = Number.NEGATIVE_INFINITY;
  /** How many are told to come in each slot, and the last slot that was promised among those of the same time of a second. */
  readonly #taken = new Map<number, number>();
  readonly #lastSlots: number[] = [];
  /** Which share of those who are sent away come again. */
  #share = 1;

  /** Whether there may be somebody outside. */
  isAwaiting(now: number): boolean {
    return now < this.#lastEnd + lateMs;
  }

  /** Whether room is to be kept: one who joined a full queue might still be in it when the first comes. */
  isKeeping(now: number, { perMs, queue }: Pace): boolean {
    return now < this.#lastEnd + keptMs && now + (queue / perMs) * drainSlack >= this.#firstDueAt;
  }

  /** Whether he was told to come at this time. The promise is then kept or broken, and gone. */
  redeem(visitor: Visitor, now: number): boolean {
    this.#sweep(now);
    const { caller } = visitor;
    const entry = this.#known(visitor) ?? (caller === undefined ? undefined : this.#oldest(caller));
    if (entry === undefined || entry.tenant !== visitor.tenant || entry.dueAt - earlyMs > now) return false;
    this.#forget(entry);
    this.#share += (1 - this.#share) * habit;
    return true;
  }

  /** Promises a place at the time at which those before him will have been served. */
  promise(visitor: Visitor, now: number, { perMs, queue }: Pace): Promised {
    const early = this.#known(visitor);
    // Who comes too soon is told again what he was told.
    if (early !== undefined) return { ticket: early.ticket, retryAfterMs: Math.max(1, Math.ceil((early.dueAt - now) / 1000)) * 1000 };
    this.#prune(now);
    const outside = this.#outsideOf(visitor.tenant);
    const spacingMs = (this.#share / (promisedShare * perMs)) * this.#tenants.size;
    const endsAt = Math.max(outside.endsAt, now) + spacingMs;
    const seconds = Math.max(1, Math.ceil((endsAt - now) / 1000));
    if (seconds * 1000 > maxAheadMs) return { retryAfterMs: maxAheadMs };
    outside.endsAt = endsAt;
    if (outside.count >= maxEntries / Math.min(2, this.#tenants.size) || this.#byTicket.size >= maxEntries)
      return { retryAfterMs: seconds * 1000 };
    const index = Math.floor(now / slotMs);
    const phase = index % slotsPerSecond;
    let slot = Math.max(index + slotsPerSecond * seconds, this.#lastSlots[phase] ?? 0);
    while (this.#isFull(slot, { perMs: promisedShare * perMs, queue: queue / 2 })) slot += slotsPerSecond;
    if (slot - index > maxAheadMs / slotMs) return { retryAfterMs: maxAheadMs };
    this.#lastSlots[phase] = slot;
    return this.#issue(visitor, now, (slot - index) * slotMs);
  }

  /** For one whose promise was broken: as soon as may be, out of the share that is not promised. */
  promiseSoon(visitor: Visitor, now: number, { perMs, queue }: Pace): Promised {
    const pace = { perMs: brokenShare * perMs, queue: queue / 2 };
    const index = Math.floor(now / slotMs);
    let slot = index + slotsPerSecond * Math.max(1, Math.ceil(1 / perMs / 1000));
    for (let tries = 0; tries < maxTries && this.#isFull(slot, pace); tries++) slot += slotsPerSecond;
    return this.#issue(visitor, now, (slot - index) * slotMs);
  }

  #issue({ tenant, caller }: Visitor, now: number, retryAfterMs: number): Promised {
    const slot = Math.floor(now / slotMs) + retryAfterMs / slotMs;
    this.#taken.set(slot, (this.#taken.get(slot) ?? 0) + 1);
    const dueAt = now + retryAfterMs;
    this.#firstDueAt = this.isAwaiting(now) ? Math.min(this.#firstDueAt, dueAt) : dueAt;
    this.#lastEnd = Math.max(this.#lastEnd, dueAt);
    const ticket = crypto.randomUUID();
    this.#keep({ ticket, tenant, caller, dueAt });
    return { ticket, retryAfterMs };
  }

  /** Whether, with one more at this time, more would come in some stretch of time before or after it than the queue can take. */
  #isFull(slot: number, { perMs, queue }: Pace): boolean {
    let [before, after] = [1, 1 + (this.#taken.get(slot) ?? 0)];
    for (let far = 0; far < slotsPerSecond; far++) {
      before += this.#taken.get(slot - far) ?? 0;
      if (far > 0) after += this.#taken.get(slot + far) ?? 0;
      const most = Math.max(queue, perMs * slotMs * (far + 1)) / this.#share;
      if (Math.max(before, after) > Math.max(1, most)) return true;
    }
    return false;
  }

  /** Forgets what is past, once a second. */
  #prune(now: number): void {
    if (now < this.#prunedAt + 1000) return;
    this.#prunedAt = now;
    for (const [tenant, { count, endsAt }] of this.#tenants) if (count === 0 && endsAt <= now) this.#tenants.delete(tenant);
    for (const slot of this.#taken.keys()) if ((slot + slotsPerSecond) * slotMs < now) this.#taken.delete(slot);
  }

  /** The promise of one who can be told from all others. */
  #known({ ticket, tenant, caller }: Visitor): Entry | undefined {
    const entry =
      (ticket === undefined ? undefined : this.#byTicket.get(ticket)) ?? (caller?.isUnique === true ? this.#oldest(caller) : undefined);
    return entry?.tenant === tenant ? entry : undefined;
  }

  #outsideOf(tenant: string | undefined): Outside {
    const known = this.#tenants.get(tenant);
    if (known !== undefined) return known;
    const outside: Outside = { count: 0, endsAt: 0 };
    this.#tenants.set(tenant, outside);
    return outside;
  }

  #oldest({ name }: CallerName): Entry | undefined {
    const [entry] = this.#byCaller.get(name) ?? [];
    return entry;
  }

  #keep(entry: Entry): void {
    this.#byTicket.set(entry.ticket, entry);
    this.#outsideOf(entry.tenant).count++;
    if (entry.caller !== undefined) {
      const known = this.#byCaller.get(entry.caller.name);
      if (known === undefined) this.#byCaller.set(entry.caller.name, new Set([entry]));
      else known.add(entry);
    }
    const second = Math.ceil((entry.dueAt + lateMs) / 1000);
    const expiring = this.#expiring.get(second);
    if (expiring === undefined) this.#expiring.set(second, [entry]);
    else expiring.push(entry);
  }

  #forget(entry: Entry): void {
    this.#byTicket.delete(entry.ticket);
    this.#outsideOf(entry.tenant).count--;
    if (entry.caller === undefined) return;
    const { name } = entry.caller;
    const known = this.#byCaller.get(name);
    known?.delete(entry);
    if (known?.size === 0) this.#byCaller.delete(name);
  }

  #sweep(now: number): void {
    const second = Math.floor(now / 1000);
    // Nothing can have run out before the first promise.
    if (this.#expiring.size === 0) this.#sweptSecond = second;
    for (; this.#sweptSecond < second; this.#sweptSecond++) {
      for (const entry of this.#expiring.get(this.#sweptSecond) ?? []) {
        if (this.#byTicket.get(entry.ticket) !== entry) continue;
        this.#forget(entry);
        this.#share = Math.max(leastShare, this.#share * (1 - habit));
      }
      this.#expiring.delete(this.#sweptSecond);
    }
  }
}
