import type { Backend, Plan, Probe, ReapReport, RunIo, RunReport } from "../../backend.ts";
import { ToolRuntimeError, toToolRuntimeError } from "../../errors.ts";
import { mayMove, translate } from "./answers.ts";
import { canHold, probeOf } from "./capabilities.ts";
import { Delegation, type DelegationSettings } from "./delegation.ts";
import type { Catalog, Peer } from "./peer.ts";

export interface RemoteSettings extends DelegationSettings {
  readonly catalogMs: number;
}

interface Candidate {
  readonly peer: Peer;
  readonly catalog: Catalog;
}

export class RemoteBackend implements Backend {
  readonly name = "remote";
  readonly delegates = true;
  readonly #peers: readonly Peer[];
  readonly #settings: RemoteSettings;

  constructor(peers: readonly Peer[], settings: RemoteSettings) {
    this.#peers = peers;
    this.#settings = settings;
  }

  async probe(signal?: AbortSignal): Promise<Probe> {
    await Promise.all(this.#peers.map((peer) => peer.ask(signal)));
    return probeOf(this.#peers, this.#settings.catalogMs);
  }

  /** Nodes get their tools ready by themselves. */
  prepare(): void {}

  async run(plan: Plan, io: RunIo): Promise<RunReport> {
    let refusal: ToolRuntimeError | undefined;
    for (const { peer, catalog } of this.#candidates(plan)) {
      try {
        return await new Delegation({ peer, catalog, plan, io, settings: this.#settings }).run();
      } catch (cause) {
        const error = translate(toToolRuntimeError(cause), peer, io.id);
        if (io.signal.aborted || !mayMove(error)) throw error;
        refusal ??= error;
      }
    }
    throw refusal ?? this.#unavailable(plan);
  }

  /** Nodes that fit, those that are known to have the tool first: a tool may have been added since the node was asked. */
  #candidates(plan: Plan): Candidate[] {
    const fitting = this.#peers.flatMap((peer) => {
      const { catalog } = peer;
      return catalog !== undefined && canHold(catalog, plan) ? [{ peer, catalog }] : [];
    });
    const hasTool = ({ catalog }: Candidate): boolean => catalog.tools?.has(plan.tool.digest) === true;
    return [...fitting.filter(hasTool), ...fitting.filter((one) => !hasTool(one))];
  }

  #unavailable({ tool, artifact, profile }: Plan): ToolRuntimeError {
    return new ToolRuntimeError(
      "ERR_BACKEND_UNAVAILABLE",
      `Cannot run the tool "${tool.manifest.name}" on backend "remote": no node that can hold it answers; start one`,
      { backend: this.name, details: { tool: tool.manifest.name, artifact, profile } },
    );
  }

  /** A node ends and removes what it started by itself. */
  async reap(): Promise<ReapReport> {
    return { removed: [] };
  }

  async close(): Promise<void> {}
}
