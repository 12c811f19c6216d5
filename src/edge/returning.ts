import type { CallerName } from "../runtime.ts";
import { wireHeaders } from "../internal/wire-names.ts";
import type { Identity } from "./auth.ts";
import type { AppContext } from "./scope.ts";

/** The most of a request's text that is compared, at each end. */
const comparedCharacters = 512;

/** What a refusal gave the caller; what cannot be one is nobody's. */
export function ticketOf(c: AppContext): string | undefined {
  const ticket = c.req.header(wireHeaders.ticket);
  return ticket !== undefined && /^[\w.:-]{1,200}$/.test(ticket) ? ticket : undefined;
}

/** By what a caller without a ticket is known when he comes again: his idempotency key, else that he sends the same once more. */
export function callerOf({ tenant, principal }: Identity, key: string | undefined, content: string): CallerName {
  const who = `${tenant}\n${principal}\n`;
  return key === undefined ? { name: `${who}like ${likeness(content)}`, isUnique: false } : { name: `${who}key ${key}`, isUnique: true };
}

/** FNV-1a (https://www.rfc-editor.org/rfc/rfc9923) of both ends. Whoever makes two of his own requests alike gains nothing. */
function likeness(content: string): string {
  let hash = 0x811c9dc5;
  const { length } = content;
  for (let at = 0; at < length; at++) {
    if (at === comparedCharacters && length > 2 * comparedCharacters) at = length - comparedCharacters;
    hash = Math.imul(hash ^ content.charCodeAt(at), 0x01000193);
  }
  return `${length} ${hash >>> 0}`;
}

/** Of so many callers at most. */
const maxKept = 10_000;

/**
 * The tickets of callers who do not send theirs back, by their idempotency keys. Where nodes run the tasks, the places are theirs, and
 * they know the ticket alone.
 */
export class KeptTickets {
  readonly #tickets = new Map<string, string>();

  /** The ticket of one who comes again, which is then his no more. */
  take({ ticket, caller }: { readonly ticket?: string | undefined; readonly caller?: CallerName | undefined }): string | undefined {
    if (caller?.isUnique !== true) return ticket;
    const kept = this.#tickets.get(caller.name);
    this.#tickets.delete(caller.name);
    return ticket ?? kept;
  }

  /** Keeps what a refusal gave him. */
  keep(caller: CallerName | undefined, ticket: unknown): void {
    if (caller?.isUnique !== true || typeof ticket !== "string") return;
    this.#tickets.set(caller.name, ticket);
    const [oldest] = this.#tickets.keys();
    if (this.#tickets.size > maxKept && oldest !== undefined) this.#tickets.delete(oldest);
  }
}
