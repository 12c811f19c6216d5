import { ToolRuntimeError, toToolRuntimeError } from "../../errors.ts";
import { Peer, type PeerOptions } from "./peer.ts";
import type { NodeSource, RemoteNode } from "./sources.ts";
import type { StandingState } from "./standing.ts";

/** What becomes of a node. */
export interface NodeEvent {
  readonly node: string;
  /** `out`: it is taken out; `trial`: one run tries it; `in`: it is well again. */
  readonly state: "joined" | "left" | StandingState;
  /** Why it is out. */
  readonly reason?: ToolRuntimeError;
}

export type PeerSettings = Omit<PeerOptions, "url" | "name" | "token" | "signer" | "onStanding">;

export interface PoolOptions {
  readonly source: NodeSource;
  readonly peer: PeerSettings;
  readonly onNode?: (event: NodeEvent) => void;
}

/** How long one that has not failed yet is waited for where others have answered. */
const lateMs = 2000;

/** The nodes that there are. A node that goes while it has runs keeps them; it gets no more. */
export class PeerPool {
  readonly #options: PoolOptions;
  readonly #peers = new Map<string, { readonly node: RemoteNode; readonly peer: Peer }>();
  readonly #stop: (() => void) | undefined;
  /** Why what the source names cannot be used. */
  #problem: string | undefined;

  /** @throws `ERR_ARGUMENT_INVALID` for nodes that are known at once and cannot be used. */
  constructor(options: PoolOptions) {
    this.#options = options;
    const { source } = options;
    if (source.nodes !== undefined) this.#sync(source.nodes, (error) => { throw error; }); // prettier-ignore
    this.#stop = source.onChange?.((nodes) => {
      this.#sync(nodes);
      // Whoever is new is asked before the next run comes.
      void Promise.all(this.peers.map((peer) => (peer.catalog === undefined ? peer.ask(undefined) : undefined)));
    });
  }

  get peers(): readonly Peer[] {
    return Array.from(this.#peers.values(), ({ peer }) => peer);
  }

  /** Facts for whoever looks after the nodes. */
  get notes(): readonly string[] {
    return this.#problem === undefined ? [] : [this.#problem];
  }

  /** Looks which nodes there are, and asks all of them what they have. Waits for those that answered the last time, or were never asked. */
  async refresh(signal: AbortSignal | undefined): Promise<void> {
    await this.#list(signal);
    const { peers } = this;
    const isLate = (peer: Peer): boolean => peer.failure !== undefined;
    const asked = peers.map((peer) => ({ peer, isLate: isLate(peer), done: peer.ask(signal) }));
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(() => late.resolve(), lateMs);
    const soon = Promise.all(asked.map((one) => (one.isLate ? undefined : one.done)));
    await Promise.race([soon, late.promise]);
    clearTimeout(timer);
    if (!peers.some(({ catalog }) => catalog !== undefined)) await Promise.all(asked.map(({ done }) => done));
  }

  async #list(signal: AbortSignal | undefined): Promise<void> {
    const { source } = this.#options;
    if (source.list === undefined) return;
    try {
      this.#problem = undefined;
      this.#sync(await source.list(signal));
    } catch (error) {
      // Those that were there stay: a resolver that is away for a moment takes no node away.
      this.#problem = `The list of nodes cannot be read: ${toToolRuntimeError(error).message}`;
    }
  }

  #sync(nodes: readonly RemoteNode[], onBad: (error: unknown) => void = (error) => this.#noteBad(error)): void {
    const named = new Map(nodes.map((node) => [nameOf(node), node]));
    for (const [name, { node }] of this.#peers) {
      if (isSame(node, named.get(name))) continue;
      this.#peers.delete(name);
      this.#tell({ node: name, state: "left" });
    }
    for (const [name, node] of named) {
      if (this.#peers.has(name)) continue;
      try {
        this.#peers.set(name, { node, peer: this.#open(name, node) });
        this.#tell({ node: name, state: "joined" });
      } catch (error) {
        onBad(error);
      }
    }
  }

  #noteBad(error: unknown): void {
    this.#problem = toToolRuntimeError(error).message;
  }

  #open(name: string, node: RemoteNode): Peer {
    const onStanding = (peer: Peer, state: StandingState): void => {
      const { reason } = peer.standing;
      this.#tell({ node: name, state, ...(reason === undefined ? {} : { reason }) });
    };
    return new Peer({ ...this.#options.peer, ...node, name, onStanding });
  }

  #tell(event: NodeEvent): void {
    this.#options.onNode?.(event);
  }

  async close(): Promise<void> {
    this.#stop?.();
    await this.#options.source.close?.();
  }
}

export function nameOf({ name, url }: RemoteNode): string {
  return name ?? (URL.canParse(url) ? new URL(url).host : url);
}

function isSame(node: RemoteNode, other: RemoteNode | undefined): boolean {
  return other !== undefined && node.url === other.url && node.token === other.token && node.signer === other.signer;
}
