import type { Backend, Leftover, Plan, Probe, ReapReport, RunIo, RunReport } from "../../backend.ts";
import { Attempts, type AttemptOptions, type AttemptSettings, type Candidate } from "./attempts.ts";
import { canHold, factsOf, probeOf, type NodeFacts } from "./capabilities.ts";
import type { Catalog, Peer } from "./peer.ts";
import type { PeerPool } from "./pool.ts";

export interface RemoteSettings extends AttemptSettings {
  readonly catalogMs: number;
  readonly accepts: ((node: NodeFacts, plan: Plan) => boolean) | undefined;
}

/** In which order nodes are asked: those that have the tool, those that may have it, those that took nothing like it, those that are out. */
const tiers = { hasTool: 0, mayHaveTool: 1, full: 2, refused: 3, out: 4 } as const;

type RetryBudgets = Pick<AttemptOptions, "budget" | "repeats">;

export class RemoteBackend implements Backend {
  readonly name = "remote";
  readonly delegates = true;
  readonly #pool: PeerPool;
  readonly #settings: RemoteSettings;
  readonly #budgets: RetryBudgets;
  readonly #background = new Set<Promise<unknown>>();

  constructor(pool: PeerPool, settings: RemoteSettings, budgets: RetryBudgets) {
    this.#pool = pool;
    this.#settings = settings;
    this.#budgets = budgets;
  }

  async probe(signal?: AbortSignal): Promise<Probe> {
    await this.#pool.refresh(signal);
    return probeOf(this.#pool.peers, this.#settings.catalogMs, this.#pool.notes);
  }

  /** Nodes get their tools ready by themselves. */
  prepare(): void {}

  run(plan: Plan, io: RunIo): Promise<RunReport> {
    return new Attempts({
      plan,
      io,
      settings: this.#settings,
      ...this.#budgets,
      candidates: () => this.#candidates(plan),
      background: (work) => this.#follow(work),
    }).run();
  }

  #follow(work: Promise<unknown>): void {
    const settled = work.catch(() => undefined).finally(() => this.#background.delete(settled));
    this.#background.add(settled);
  }

  /**
   * Nodes that fit. Those that are out are left out, but never more than half of them: the others could not carry it all. Of
   * those that break the protocol none gets a run, however many they are.
   */
  #candidates(plan: Plan): Candidate[] {
    const { accepts } = this.#settings;
    const { peers } = this.#pool;
    const isOut = ({ standing }: Peer): boolean => !standing.mayServe;
    const keepsOut = peers.filter(isOut).length <= peers.length / 2;
    return peers.flatMap((peer) => {
      const { catalog } = peer;
      if (catalog === undefined || !canHold(catalog, plan)) return [];
      if (isOut(peer) && (keepsOut || peer.standing.isLiar)) return [];
      if (accepts !== undefined && !accepts(factsOf(peer.name, catalog), plan)) return [];
      return [{ peer, catalog, tier: tierOf(peer, catalog, plan) }];
    });
  }

  /** A node ends and removes what it started by itself. */
  async leftovers(): Promise<readonly Leftover[]> {
    return [];
  }

  async reap(): Promise<ReapReport> {
    return { removed: [] };
  }

  async close(): Promise<void> {
    await Promise.all(this.#background);
    await this.#pool.close();
  }
}

/** A tool may have been added since the node was asked; one that has refused may take it by now, and is the last to be asked. */
function tierOf(peer: Peer, { tools }: Catalog, plan: Plan): number {
  if (!peer.standing.mayServe) return tiers.out;
  if (peer.hasRefused(plan)) return tiers.refused;
  if (peer.load.fullForMs > 0) return tiers.full;
  return tools?.has(plan.tool.digest) === true ? tiers.hasTool : tiers.mayHaveTool;
}
