import type { Backend, Plan } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { Fetch } from "../../client.ts";
import { RemoteBackend } from "./backend.ts";
import { RetryBudget } from "./budget.ts";
import type { NodeFacts } from "./capabilities.ts";
import { nameOf, PeerPool, type NodeEvent } from "./pool.ts";
import type { NodeSource, RemoteNode } from "./sources.ts";

export type { NodeFacts } from "./capabilities.ts";
export type { NodeEvent } from "./pool.ts";
export { announce } from "./announce.ts";
export type { AnnounceOptions } from "./announce.ts";
export { registration } from "./registration.ts";
export type { Registration, RegistrationOptions } from "./registration.ts";
export { dnsNodes, joinSources } from "./sources.ts";
export type { Credentials, DnsNodesOptions, NamedNode, NodeAddress, NodeSource, RemoteNode } from "./sources.ts";

export interface RemoteOptions {
  /** At least one, no two of the same name; or what says which there are. */
  readonly nodes: readonly RemoteNode[] | NodeSource;
  /** Default: the platform's. On Node `toolruntime/remote/node` has one with a pool of its own. */
  readonly fetch?: Fetch;
  /** Nodes that a task may go to, besides what they must be able to hold. Default: all. */
  readonly accepts?: (node: NodeFacts, plan: Plan) => boolean;
  /** Told when a node comes, goes, is taken out or is well again. */
  readonly onNode?: (event: NodeEvent) => void;
  /** How long what a node says of itself holds at most, in ms. Default 30,000. */
  readonly catalogMs?: number;
  /** The most that a run may hand back in files, in bytes, where its limit of `disk` is higher. Default 64 MiB. */
  readonly maxOutputBytes?: number;
  /** How long a node may say nothing while a run goes on, in ms; it says that it lives every 5 s. Default 20,000. */
  readonly silenceMs?: number;
  /** Output that may be on its way here before the tool is held, in bytes. Default 1 MiB. */
  readonly windowBytes?: number;
  /** A node ends what it has from here when nothing was heard from here for so long, in ms: 1,000 to 60,000. Default 10,000. */
  readonly leaseMs?: number;
  /** So many failures of a node, one after the other, take it out. Default 5. */
  readonly failures?: number;
  /** For how long the first time, in ms; each time that its trial fails it is twice as long, up to a minute. Default 1000. */
  readonly outMs?: number;
  /** How much may be sent again: a share of the runs. Default 0.1. */
  readonly retryRatio?: number;
  /** A second node is asked when the first has brought nothing for so long, in ms; only for tools that may run twice. Default: never. */
  readonly hedgeAfterMs?: number;
  /** Allows a token over plain HTTP to another machine. Default `false`. */
  readonly insecureHttp?: boolean;
  /** Numbers from 0 up to 1 for the draw of nodes and for pauses. Default `Math.random`. */
  readonly random?: () => number;
}

const maxOutMs = 60_000;

/**
 * Sends runs to executor nodes. What it can do is what its nodes say they can. Of the nodes that fit a task, the less busy one of
 * two drawn at random gets it; another one is asked only where the tool has not started, or says that it may run twice
 * (`annotations.idempotentHint`). The nodes know the tools: a task names its tool by digest.
 *
 * A run that is ended here is ended on its node. Receipts, output files and the node's backend come through, with `via`.
 *
 * @throws `ERR_ARGUMENT_INVALID` for options that cannot be used.
 */
export function remote(options: RemoteOptions): Backend {
  const { fetch, insecureHttp, onNode, accepts, hedgeAfterMs, random = Math.random } = options;
  const leaseMs = positive("leaseMs", options.leaseMs ?? 10_000);
  if (leaseMs < 1000 || leaseMs > 60_000) throw invalid("leaseMs", `it takes 1,000 to 60,000, not ${leaseMs}`);
  const outMs = positive("outMs", options.outMs ?? 1000);
  const standing = { failures: positive("failures", options.failures ?? 5), outMs, maxOutMs: Math.max(maxOutMs, outMs) };
  const pool = new PeerPool({
    source: "length" in options.nodes ? fixed(options.nodes) : options.nodes,
    peer: {
      leaseMs,
      standing,
      ...(fetch === undefined ? {} : { fetch }),
      ...(insecureHttp === undefined ? {} : { insecureHttp }),
    },
    ...(onNode === undefined ? {} : { onNode }),
  });
  const settings = {
    accepts,
    random,
    catalogMs: positive("catalogMs", options.catalogMs ?? 30_000),
    silenceMs: positive("silenceMs", options.silenceMs ?? 20_000),
    maxOutputBytes: positive("maxOutputBytes", options.maxOutputBytes ?? 64 * 2 ** 20),
    windowBytes: positive("windowBytes", options.windowBytes ?? 2 ** 20),
    hedgeAfterMs: hedgeAfterMs === undefined ? undefined : positive("hedgeAfterMs", hedgeAfterMs),
  };
  const retryRatio = ratio("retryRatio", options.retryRatio ?? 0.1);
  return new RemoteBackend(pool, settings, { budget: new RetryBudget(retryRatio), repeats: new RetryBudget(retryRatio) });
}

function fixed(nodes: readonly RemoteNode[]): NodeSource {
  if (nodes.length === 0) throw invalid("nodes", "it takes at least one node");
  if (new Set(nodes.map(nameOf)).size < nodes.length) throw invalid("nodes", "each node takes a name of its own");
  return { nodes };
}

function positive(option: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw invalid(option, `it takes a whole number above zero, not ${value}`);
}

function ratio(option: string, value: number): number {
  if (value >= 0 && value <= 1) return value;
  throw invalid(option, `it takes a number from 0 to 1, not ${value}`);
}

function invalid(option: string, why: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot use the option "${option}" of the backend "remote": ${why}`, {
    details: { option },
  });
}
