import type { Capability, Plan, Probe } from "../../backend.ts";
import { canonicalJson } from "../../internal/json.ts";
import { isLimit } from "../../limits.ts";
import { profiles, securityProfiles, stricter, type Isolation, type SecurityProfile } from "../../profile.ts";
import type { WireBackendList, WireHost } from "../../wire.ts";
import type { Catalog, Peer } from "./peer.ts";

type WireCapability = WireBackendList["backends"][number]["capabilities"][number];

/** Where no node is ready, and before any has been asked. */
const retryMs = 2000;

const isolations: ReadonlySet<string> = new Set(Object.values(profiles).flatMap(({ isolation }) => isolation));

function isIsolation(name: string): name is Isolation {
  return isolations.has(name);
}

/**
 * A capability as it counts for tasks that come from here: a node runs each task in the stricter of the task's profile and its
 * own. One with a wall that this version does not know counts for nothing.
 */
function capabilityOf({ isolation, limits, profiles: held, ...rest }: WireCapability, security: Catalog["security"]): Capability[] {
  if (!isIsolation(isolation)) return [];
  const reachable = securityProfiles.filter((profile) => held.includes(stricter(profile, security)));
  const known = Object.fromEntries(Object.entries(limits).filter(([limit]) => isLimit(limit)));
  return [{ ...rest, isolation, profiles: reachable, limits: known }];
}

export function capabilitiesOf({ backends, security }: Catalog): Capability[] {
  return backends.flatMap(({ status, capabilities }) =>
    status === "ready" ? capabilities.flatMap((one) => capabilityOf(one, security)) : [],
  );
}

/** What a filter of nodes may look at. */
export interface NodeFacts {
  readonly name: string;
  /** Processor and system, where the node says them. */
  readonly host: WireHost | undefined;
  readonly security: SecurityProfile;
  /** Backends that are ready there. */
  readonly backends: readonly string[];
}

export function factsOf(name: string, { host, security, backends }: Catalog): NodeFacts {
  const ready = backends.filter(({ status }) => status === "ready");
  return { name, host, security, backends: ready.map(({ backend }) => backend) };
}

/** Whether a node has what the plan was made for. */
export function canHold(catalog: Catalog, plan: Plan): boolean {
  return capabilitiesOf(catalog).some(
    ({ artifact, isolation, network, profiles: held, deterministic, limits }) =>
      artifact === plan.artifact &&
      isolation === plan.isolation &&
      network === plan.network &&
      held.includes(plan.profile) &&
      (plan.deterministic === undefined || deterministic === true) &&
      plan.limits.every(({ limit, mechanism, value }) => {
        if (mechanism === "none" || limit === "output") return true;
        const found = limits[limit];
        return found !== undefined && value >= (found.min ?? 0) && value <= (found.max ?? Number.POSITIVE_INFINITY);
      }),
  );
}

function noteOf({ name, catalog, failure, standing }: Peer): string {
  const { reason, isLiar } = standing;
  if (reason !== undefined) {
    const why = isLiar ? "it broke the protocol" : "runs on it failed";
    return `The node "${name}" is out, as ${why}: ${reason.message}`;
  }
  if (catalog === undefined) return `The node "${name}" is out: ${failure?.message ?? "it was not asked yet"}`;
  const backends = catalog.backends.map(({ backend, status }) => `${backend} ${status}`).join(", ");
  const tools = catalog.tools === undefined ? "" : `, ${catalog.tools.size} tools`;
  return `The node "${name}" is in profile "${catalog.security}": ${backends}${tools}`;
}

/** What the nodes can do together. */
export function probeOf(peers: readonly Peer[], catalogMs: number, facts: readonly string[] = []): Probe {
  const catalogs = peers.flatMap(({ catalog, standing }) =>
    catalog === undefined || (standing.isLiar && !standing.mayServe) ? [] : catalog,
  );
  const capabilities = new Map(catalogs.flatMap(capabilitiesOf).map((one) => [canonicalJson(one), one]));
  const notes = [...peers.map(noteOf), ...facts];
  const isWhole = catalogs.length === peers.length;
  const validForMs = Math.min(catalogMs, isWhole ? Number.POSITIVE_INFINITY : retryMs, ...catalogs.flatMap(validities));
  if (capabilities.size > 0) return { status: "ready", capabilities: [...capabilities.values()], notes, validForMs };
  return {
    status: "unavailable",
    reason: peers.length === 0 ? "it has no nodes" : `none of its ${peers.length} nodes can run tools: ${notes.join("; ")}`,
    advice: "start a node, or see to its address and token",
    capabilities: [],
    notes,
    validForMs: Math.min(validForMs, retryMs),
  };
}

function validities({ backends }: Catalog): number[] {
  return backends.map(({ validForMs }) => validForMs);
}
