import { Resolver } from "node:dns/promises";
import { dnsNodes, type DnsNodesOptions, type NodeAddress, type NodeSource } from "./sources.ts";

export interface DnsOptions extends Omit<DnsNodesOptions, "resolve"> {
  /** A name with SRV records (RFC 2782), `_toolruntime._tcp.example`, or one with A and AAAA records. */
  readonly name: string;
  /** Default: SRV for a name that begins with `_`, else addresses. */
  readonly records?: "srv" | "addresses";
  /** Name servers in place of the system's, as `"192.0.2.53"` or `"192.0.2.53:5353"`. */
  readonly servers?: readonly string[];
}

/** How long a name server may take, and how often it is asked. */
const timing = { timeout: 2000, tries: 2 } as const;

/** Executor nodes behind a name. The ports of SRV records are theirs; addresses take the `port` that is given. */
export function nodesByName(options: DnsOptions): NodeSource {
  const { name, servers, records = name.startsWith("_") ? "srv" : "addresses" } = options;
  return dnsNodes({
    ...options,
    resolve: async (signal) => {
      const resolver = new Resolver(timing);
      if (servers !== undefined) resolver.setServers([...servers]);
      const stop = (): void => resolver.cancel();
      signal?.addEventListener("abort", stop, { once: true });
      try {
        return records === "srv" ? await services(resolver, name) : await addresses(resolver, name);
      } finally {
        signal?.removeEventListener("abort", stop);
      }
    },
  });
}

/** Those of the lowest priority that there is: the others are for when none of these is there. */
async function services(resolver: Resolver, name: string): Promise<NodeAddress[]> {
  const found = await resolver.resolveSrv(name);
  const lowest = Math.min(...found.map(({ priority }) => priority));
  return found.filter(({ priority }) => priority === lowest).map(({ name: host, port }) => ({ host, port }));
}

async function addresses(resolver: Resolver, name: string): Promise<NodeAddress[]> {
  const [four, six] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const found = [four, six].flatMap((one) => (one.status === "fulfilled" ? one.value : []));
  // A name with records of one kind alone has none of the other.
  if (found.length === 0 && four.status === "rejected") throw four.reason;
  return found.map((host) => ({ host }));
}
