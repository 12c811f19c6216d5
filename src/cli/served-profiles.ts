import type { Capability } from "../backend.ts";
import { limitNames, type Limit } from "../limits.ts";
import { profiles, type SecurityProfile } from "../profile.ts";

/** The runtime itself counts and cuts output, whatever the backend. */
const enforcedByRuntime: ReadonlySet<Limit> = new Set(["output"]);

/** The profiles whose isolation and demands a backend meets here. */
export function servedBy({ profiles: offered, isolation, limits }: Capability): SecurityProfile[] {
  return offered.filter((profile) => {
    const { isolation: accepted, demands } = profiles[profile];
    return accepted.includes(isolation) && demands.every((limit) => enforcedByRuntime.has(limit) || limits[limit] !== undefined);
  });
}

/** The limits that nothing enforces there. */
export function unenforcedBy({ limits }: Capability): Limit[] {
  return limitNames.filter((limit) => !enforcedByRuntime.has(limit) && limits[limit] === undefined);
}
