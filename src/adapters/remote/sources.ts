import type { Signer, Token } from "../../client.ts";

/** What opens a node. */
export interface Credentials {
  /** A bearer token with the scopes `run` and `read`, or what gives one for each request. */
  readonly token?: Token;
  /** Makes a token for each request that is good for it alone (`requestSigner`); in place of `token`. */
  readonly signer?: Signer;
}

export interface NamedNode {
  readonly name: string;
  readonly url: string;
}

export interface RemoteNode extends Credentials {
  /** Where its service is: `https://node-1.example`. */
  readonly url: string;
  /** How receipts, errors and notes call it. Default: host and port of its url. */
  readonly name?: string;
}

/** Says which nodes there are. They may come and go while runs are out. */
export interface NodeSource {
  /** Those that are known at once. */
  readonly nodes?: readonly RemoteNode[];
  /** All that there are now; asked as often as the nodes are. Those of the last time stay where it throws. */
  list?(signal: AbortSignal | undefined): readonly RemoteNode[] | Promise<readonly RemoteNode[]>;
  /** Tells of each change as it comes, until what it gives back is called. */
  onChange?(listener: (nodes: readonly RemoteNode[]) => void): () => void;
  close?(): void | Promise<void>;
}

/** An address and port at which a node answers. */
export interface NodeAddress {
  readonly host: string;
  readonly port?: number;
}

export interface DnsNodesOptions {
  /** Gives the addresses behind a name: of SRV records with their ports, of A and AAAA records without. */
  readonly resolve: (signal: AbortSignal | undefined) => Promise<readonly NodeAddress[]>;
  /** For addresses without one. Default: that of the scheme. */
  readonly port?: number;
  /** Default `https`. */
  readonly scheme?: "http" | "https";
  /** What opens a node, whose name is its host and port. */
  readonly credentials?: (node: NamedNode) => Credentials;
}

/** Nodes that a name stands for. The name is resolved again as often as the nodes are asked what they have. */
export function dnsNodes({ resolve, port, scheme = "https", credentials }: DnsNodesOptions): NodeSource {
  // A node that is still there is the same one, with the credentials that it had.
  let known = new Map<string, RemoteNode>();
  return {
    async list(signal) {
      const nodes = (await resolve(signal)).map((address) => {
        const host = address.host.includes(":") ? `[${address.host}]` : address.host;
        const at = address.port ?? port;
        const name = `${host}${at === undefined ? "" : `:${at}`}`;
        const url = `${scheme}://${name}`;
        return known.get(name) ?? { name, url, ...credentials?.({ name, url }) };
      });
      known = new Map(nodes.map((node) => [node.name ?? node.url, node]));
      return nodes;
    },
  };
}

/** The nodes of several sources together. The first one that has a name keeps it. */
export function joinSources(...sources: readonly NodeSource[]): NodeSource {
  const known = new Map<NodeSource, readonly RemoteNode[]>(sources.map((source) => [source, source.nodes ?? []]));
  const all = (): readonly RemoteNode[] => [...known.values()].flat();
  return {
    nodes: all(),
    async list(signal) {
      for (const source of sources) if (source.list !== undefined) known.set(source, await source.list(signal));
      return all();
    },
    onChange(listener) {
      const stops = sources.map((source) =>
        source.onChange?.((nodes) => {
          known.set(source, nodes);
          listener(all());
        }),
      );
      return () => stops.forEach((stop) => stop?.());
    },
    async close() {
      for (const source of sources) await source.close?.();
    },
  };
}
