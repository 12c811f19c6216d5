import type { Plan } from "../../backend.ts";
import type { Fetch, Signer, Token } from "../../client.ts";
import type { ToolRuntimeError } from "../../errors.ts";
import { toToolRuntimeError } from "../../errors.ts";
import { connectionFailed } from "../../internal/client/failures.ts";
import { Transport, type Schema } from "../../internal/client/transport.ts";
import { mediaTypes, wireHeaders, type wireFeatures } from "../../internal/wire-names.ts";
import { backendListSchema, executionSchema, toolListSchema, type WireBackendList, type WireExecution, type WireHost } from "../../wire.ts";
import { Lease } from "./lease.ts";
import { LoadMeter, parseLoad } from "./load.ts";
import { ToolSending } from "./tool-sending.ts";
import { Standing, type StandingRules, type StandingState } from "./standing.ts";

export interface PeerOptions {
  readonly url: string;
  readonly name: string;
  readonly token?: Token;
  readonly signer?: Signer;
  readonly fetch?: Fetch;
  readonly insecureHttp?: boolean;
  readonly leaseMs: number;
  readonly standing: StandingRules;
  readonly onStanding: (peer: Peer, state: StandingState) => void;
}

/** What a node says of itself. */
export interface Catalog {
  readonly security: WireBackendList["security"];
  readonly backends: WireBackendList["backends"];
  /** The digests of its tools; absent where it does not say. */
  readonly tools: ReadonlySet<string> | undefined;
  readonly host: WireHost | undefined;
  /** The process that said all this, where it names itself. */
  readonly instance: string | undefined;
  /** What it knows besides the first version of the protocol. */
  readonly features: ReadonlySet<string>;
}

/** How long a node may take to say what it has, in ms. */
const askMs = 5000;
const maxCatalogBytes = 16 * 2 ** 20;
/** What is answered to a renewal or an acknowledgement. */
const maxNoteBytes = 64 * 1024;
const noteMs = 5000;
const anything: Schema<unknown> = { safeParse: (data) => ({ success: true, data }) };

/** One executor node: its address, what it last said of itself, and how it has behaved. */
export class Peer {
  readonly name: string;
  readonly transport: Transport;
  readonly tools: ToolSending;
  readonly load = new LoadMeter();
  readonly lease: Lease;
  readonly standing: Standing;
  #catalog: Catalog | undefined;
  #failure: ToolRuntimeError | undefined;
  #asking: Promise<void> | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  /** Plans that it has refused since it was asked, or all. */
  readonly #refused = new Set<string>();
  #isLeaving = false;

  /** @throws `ERR_ARGUMENT_INVALID`. */
  constructor(options: PeerOptions) {
    this.name = options.name;
    const send: Fetch = options.fetch ?? ((url, init) => fetch(url, init));
    const metered: Fetch = async (url, init) => {
      const response = await send(url, init);
      this.load.note(parseLoad(response.headers.get(wireHeaders.load)));
      return response;
    };
    this.transport = new Transport({ ...options, fetch: metered, peer: `the node "${options.name}"` });
    this.tools = new ToolSending(this.transport);
    this.lease = new Lease({ ttlMs: options.leaseMs, renew: (id, ttlMs) => this.#renew(id, ttlMs) });
    this.standing = new Standing(options.standing, (state) => options.onStanding(this, state));
  }

  /** Nothing where it did not answer when it was asked last, or was not asked yet. */
  get catalog(): Catalog | undefined {
    return this.#catalog;
  }

  /** Why there is no catalog. */
  get failure(): ToolRuntimeError | undefined {
    return this.#failure;
  }

  knows(feature: (typeof wireFeatures)[number]): boolean {
    return this.#catalog?.features.has(feature) === true;
  }

  /** Asks the node what it has; whoever asks meanwhile gets the same answer. Never rejects. */
  ask(signal: AbortSignal | undefined): Promise<void> {
    const now = performance.now();
    // On Workers what a request has asked may end with the request, without a word.
    if (this.#asking !== undefined && now - this.#askedAt < 2 * askMs) return this.#asking;
    const asking = this.#ask(signal).finally(() => {
      if (this.#asking === asking) this.#asking = undefined;
    });
    this.#askedAt = now;
    this.#asking = asking;
    return asking;
  }

  async #ask(signal: AbortSignal | undefined): Promise<void> {
    const times = AbortSignal.timeout(askMs);
    const either = signal === undefined ? times : AbortSignal.any([signal, times]);
    try {
      const [list, tools] = await Promise.all([
        this.transport.json({ method: "GET", path: "/v1/backends", signal: either }, backendListSchema, maxCatalogBytes),
        // Without the list each node is as good as the other.
        this.transport.json({ method: "GET", path: "/v1/tools", signal: either }, toolListSchema, maxCatalogBytes).catch(() => undefined),
      ]);
      const { security, backends, node, instance, features } = list;
      const digests = tools === undefined ? undefined : new Set(tools.tools.map(({ digest }) => digest as string));
      this.#failure = undefined;
      this.#catalog = { security, backends, tools: digests, host: node, instance, features: new Set(features) };
      this.#refused.clear();
      this.#isLeaving = false;
      this.lease.forget();
    } catch (error) {
      const asked = { peer: this.transport.peer, mayHaveStarted: false };
      this.#failure = times.aborted ? connectionFailed(asked, times.reason) : toToolRuntimeError(error);
      this.#catalog = undefined;
    }
  }

  /** Remembers, until the node is asked again, that it does not take such runs. */
  noteRefusal(plan: Plan, { code, details }: ToolRuntimeError): void {
    const { retryAfterMs } = details;
    if (code === "ERR_CLOSED") this.#isLeaving = true;
    else if (code === "ERR_QUEUE_FULL" || code === "ERR_RATE_LIMITED")
      this.load.noteFull(typeof retryAfterMs === "number" ? retryAfterMs : 1000);
    else this.#refused.add(plan.digest);
  }

  noteRun(plan: Plan): void {
    this.#refused.delete(plan.digest);
    this.load.noteRoom();
  }

  /** Whether it is likely to refuse such a run, by what it said since it was asked. */
  hasRefused(plan: Plan): boolean {
    return this.#isLeaving || this.#refused.has(plan.digest);
  }

  /** Ends a run; settles when it is over. */
  cancel(id: string, signal: AbortSignal): Promise<WireExecution> {
    return this.transport.json({ method: "DELETE", path: pathOf(id), signal }, executionSchema, maxCatalogBytes);
  }

  /** Says that so many bytes of a run's output have been taken. */
  async acknowledge(id: string, bytes: number, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify({ bytes });
    const headers = { "content-type": mediaTypes.json };
    await this.transport.json({ method: "POST", path: `${pathOf(id)}/ack`, headers, body, signal }, anything, maxNoteBytes);
  }

  async #renew(id: string, ttlMs: number): Promise<void> {
    const headers = { "content-type": mediaTypes.json };
    const body = JSON.stringify({ ttlMs });
    const signal = AbortSignal.timeout(noteMs);
    await this.transport.json({ method: "PUT", path: `/v1/leases/${id}`, headers, body, signal }, anything, maxNoteBytes);
  }
}

function pathOf(id: string): string {
  return `/v1/executions/${encodeURIComponent(id)}`;
}
