import type { Backend } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { Fetch, Token } from "../../client.ts";
import { RemoteBackend } from "./backend.ts";
import { Peer } from "./peer.ts";

export interface RemoteNode {
  /** Where its service is: `https://node-1.example`. */
  readonly url: string;
  /** A bearer token with the scopes `run` and `read`, or what gives one for each request. */
  readonly token?: Token;
  /** How receipts, errors and notes call it. Default: host and port of its url. */
  readonly name?: string;
}

export interface RemoteOptions {
  /** In order of preference. At least one; no two of the same name. */
  readonly nodes: readonly RemoteNode[];
  /** Default: the platform's. On Node it may be one with a pool of its own. */
  readonly fetch?: Fetch;
  /** How long what a node says of itself holds at most, in ms. Default 30,000. */
  readonly catalogMs?: number;
  /** The most that a run may hand back in files, in bytes, where its limit of `disk` is higher. Default 64 MiB. */
  readonly maxOutputBytes?: number;
  /** How long a node may say nothing while a run goes on, in ms; it says that it lives every 5 s. Default 20,000. */
  readonly silenceMs?: number;
  /** Allows a token over plain HTTP to another machine. Default `false`. */
  readonly insecureHttp?: boolean;
}

/**
 * Sends runs to executor nodes. What it can do is what its nodes say they can; each task goes to the first node that fits, and
 * to the next one only where the tool has not started. The nodes know the tools: a task names its tool by digest.
 *
 * A run that is ended here is ended on its node. Receipts, output files and the node's backend come through, with `via`.
 *
 * @throws `ERR_ARGUMENT_INVALID` for options that cannot be used.
 */
export function remote(options: RemoteOptions): Backend {
  const { nodes, fetch, insecureHttp } = options;
  const shared = { ...(fetch === undefined ? {} : { fetch }), ...(insecureHttp === undefined ? {} : { insecureHttp }) };
  const peers = nodes.map((node) => new Peer({ ...shared, ...node, name: node.name ?? hostOf(node.url) }));
  if (peers.length === 0) throw invalid("nodes", "it takes at least one node");
  if (new Set(peers.map(({ name }) => name)).size < peers.length) throw invalid("nodes", "each node takes a name of its own");
  return new RemoteBackend(peers, {
    catalogMs: positive("catalogMs", options.catalogMs ?? 30_000),
    silenceMs: positive("silenceMs", options.silenceMs ?? 20_000),
    maxOutputBytes: positive("maxOutputBytes", options.maxOutputBytes ?? 64 * 2 ** 20),
  });
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : url;
}

function positive(option: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw invalid(option, `it takes a whole number above zero, not ${value}`);
}

function invalid(option: string, why: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot use the option "${option}" of the backend "remote": ${why}`, {
    details: { option },
  });
}
