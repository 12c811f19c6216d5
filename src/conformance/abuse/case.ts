import type { Capability } from "../../backend.ts";
import type { Limit } from "../../limits.ts";
import { profiles, securityProfiles, type SecurityProfile } from "../../profile.ts";
import type { AbuseBench } from "./bench.ts";

/** What is known of the runtime under attack. */
export interface AbuseFacts {
  readonly profile: SecurityProfile;
  readonly capability: Capability;
  /** Where the attacker's image has a set-uid program. */
  readonly setUid?: string;
}

/** Says why nothing holds an attack here, or nothing where something does. */
export type Holds = (facts: AbuseFacts) => string | undefined;

/**
 * What must come of an attack. `LIMIT` the run is ended with an error that names the limit, or the enforcer refuses more
 * and the receipt says hit; `DENY` refused before the tool starts; `TRAP` the tool failed by itself; `NONE` what the
 * attack looks for is not there; `OK` it runs to its end within the caps.
 */
export type Outcome = "LIMIT" | "DENY" | "TRAP" | "NONE" | "OK";

/** One row of the corpus. */
export interface AbuseCase {
  /** Stable: the name of the test. */
  readonly id: string;
  /** What the attack does. */
  readonly title: string;
  readonly outcome: Outcome;
  /** Absent where every backend must hold it. */
  readonly holds?: Holds;
  /** Attacks, and throws where anything else comes of it. Absent where the attack is not written. */
  readonly attack?: (bench: AbuseBench) => Promise<void>;
}

export function enforced(limit: Limit): Holds {
  return ({ capability }) => (capability.limits[limit] === undefined ? `nothing enforces "${limit}"` : undefined);
}

/** What counts a tool's processes also keeps them together. */
export const keepsTree: Holds = ({ capability }) =>
  capability.limits.processes === undefined ? "nothing keeps a tool's processes together" : undefined;

export const walled: Holds = ({ capability }) =>
  capability.isolation === "none" ? "there is no wall between the tool and the host" : undefined;

export const hasSetUid: Holds = ({ setUid }) => (setUid === undefined ? "no set-uid program of the attacker's image was named" : undefined);

export function fromProfile(least: SecurityProfile): Holds {
  return ({ profile }) =>
    securityProfiles.indexOf(profile) < securityProfiles.indexOf(least) ? `it is asked for from profile "${least}" on` : undefined;
}

export function all(...holds: readonly Holds[]): Holds {
  return (facts) => {
    for (const one of holds) {
      const reason = one(facts);
      if (reason !== undefined) return reason;
    }
    return undefined;
  };
}

/** How long a run may take that is ended at `timeoutMs`: the grace, and what the killing takes. */
export function mostMs({ profile }: AbuseFacts, timeoutMs: number): number {
  return timeoutMs + profiles[profile].graceMs + 3000;
}
