/** What a node says of how busy it is, over all of its backends. */
export interface Load {
  readonly running: number;
  readonly capacity: number;
  readonly queued: number;
  readonly queue: number;
}

/** No node has so many places; more is no load. */
const maxCount = 1_000_000;

/**
 * Reads a `toolruntime-load` header: a dictionary of integers (RFC 9651 §3.2). Members that are not known are left aside.
 * What cannot be read is as good as nothing: load is advice.
 */
export function parseLoad(header: string | null): Load | undefined {
  if (header === null || header.length > 500) return undefined;
  const members = new Map<string, number>();
  for (const member of header.split(",")) {
    const [, name, digits] = /^\s*([a-z*][a-z0-9_.*-]*)=(\d{1,7})(?:;.*)?\s*$/.exec(member) ?? [];
    if (name !== undefined) members.set(name, Number(digits));
  }
  const [running, capacity] = [members.get("running"), members.get("capacity")];
  if (running === undefined || capacity === undefined || running > maxCount || capacity < 1 || capacity > maxCount) return undefined;
  return {
    running,
    capacity,
    queued: Math.min(maxCount, members.get("queued") ?? 0),
    queue: Math.min(maxCount, members.get("queue") ?? 0),
  };
}

/** How long what a node said of the runs of others counts. */
const freshMs = 10_000;

/** How busy a node is as seen from here: what it said last, and what was sent to it and taken back since. */
export class LoadMeter {
  #load: Load | undefined;
  /** Runs on the node that are not from here. */
  #others = 0;
  #notedAt = Number.NEGATIVE_INFINITY;
  /** Until when it takes nothing, by its own word. */
  #fullUntil = Number.NEGATIVE_INFINITY;
  /** Runs that were sent from here and have not ended. */
  outstanding = 0;

  note(load: Load | undefined): void {
    if (load === undefined) return;
    this.#load = load;
    this.#notedAt = performance.now();
    this.#others = Math.max(0, load.running + load.queued - this.outstanding);
  }

  noteFull(forMs: number): void {
    this.#fullUntil = performance.now() + forMs;
  }

  noteRoom(): void {
    this.#fullUntil = Number.NEGATIVE_INFINITY;
  }

  /** How long it takes nothing more, by its own word, in ms. */
  get fullForMs(): number {
    return Math.max(0, this.#fullUntil - performance.now());
  }

  /** How much of the node would be taken with one more run; above 1 some of it waits. Nothing where it does not say. */
  get share(): number | undefined {
    if (this.#load === undefined) return undefined;
    const others = performance.now() - this.#notedAt < freshMs ? this.#others : 0;
    return (others + this.outstanding + 1) / this.#load.capacity;
  }
}
