import type { Capability } from "../backend.ts";
import { limitNames, type Limit } from "../limits.ts";
import { profiles, securityProfiles, type SecurityProfile } from "../profile.ts";
import type { ArtifactKind } from "../tool.ts";
import type { Bench } from "./bench.ts";

/** What is known of the runtime under test before a case runs. */
export interface Facts {
  /** What the backend declares for the artifact that it will take of the probe, under the suite's profile. */
  readonly capability: Capability;
  /** All the kinds of artifact that the runtime takes in any profile. */
  readonly artifacts: readonly ArtifactKind[];
  readonly profile: SecurityProfile;
  /** Whether the harness told which variable of the host's environment must stay hidden. */
  readonly hasCanary: boolean;
  /** Whether a guest can leave a trace that the harness reads from outside. */
  readonly hasTrace: boolean;
}

/** Says why a case does not apply, or nothing where it does. */
export type Requirement = (facts: Facts) => string | undefined;

/** One thing that every runtime must hold. */
export interface ConformanceCase {
  /** Stable, kebab-case. */
  readonly id: string;
  /** What must hold, as a sentence about the runtime. */
  readonly title: string;
  readonly requires?: Requirement;
  /** Throws where it does not hold. */
  run(bench: Bench): Promise<void>;
}

export function both(...requirements: readonly Requirement[]): Requirement {
  return (facts) => {
    for (const requirement of requirements) {
      const reason = requirement(facts);
      if (reason !== undefined) return reason;
    }
    return undefined;
  };
}

export function enforces(limit: Limit): Requirement {
  return ({ capability, profile }) => {
    if (limit === "output" || capability.limits[limit] !== undefined) return undefined;
    return `nothing enforces "${limit}" on ${capability.artifact} in profile "${profile}"`;
  };
}

/** A limit by which the backend can end a tool that never calls its host. */
export const interrupts: Requirement = ({ capability }) =>
  capability.limits.timeout === undefined ? "the backend declares no way to end a tool that only computes" : undefined;

export const isDeterministic: Requirement = ({ capability }) =>
  capability.deterministic === true ? undefined : "the backend gives no deterministic runs";

export const isNotDeterministic: Requirement = ({ capability }) =>
  capability.deterministic === true ? "the backend gives deterministic runs" : undefined;

export function takes(artifact: ArtifactKind): Requirement {
  return ({ capability }) =>
    capability.artifact === artifact ? undefined : `only ${artifact} can do that, this is ${capability.artifact}`;
}

export const isolates: Requirement = ({ capability }) =>
  capability.isolation === "none" ? "the backend does not isolate the tool from its host" : undefined;

export const knowsCanary: Requirement = ({ hasCanary }) => (hasCanary ? undefined : "the harness names no canary variable");

export const leavesTrace: Requirement = ({ hasTrace }) => (hasTrace ? undefined : "the guest can leave no trace outside of its sandbox");

export const needsNetworkRefusal: Requirement = ({ capability }) =>
  capability.network === "none" ? undefined : "the tool has the host's network";

/** The limits that an explicit request for must be refused: nothing enforces them, and the profile alone does not refuse already. */
export function undeclaredLimits({ capability, profile }: Facts): Limit[] {
  const demanded = profiles[profile].demands;
  return limitNames.filter((limit) => limit !== "output" && capability.limits[limit] === undefined && !demanded.includes(limit));
}

export const leavesLimitsOpen: Requirement = (facts) =>
  undeclaredLimits(facts).length > 0 ? undefined : "the backend enforces every limit there is";

export function stricterProfiles({ profile }: Facts): readonly SecurityProfile[] {
  return securityProfiles.slice(securityProfiles.indexOf(profile) + 1);
}

/** Whether the backend declares the profile and all the limits that it demands. */
export function canHold({ capability }: Facts, profile: SecurityProfile): boolean {
  const { demands, isolation } = profiles[profile];
  return (
    capability.profiles.includes(profile) &&
    isolation.includes(capability.isolation) &&
    demands.every((limit) => limit === "output" || capability.limits[limit] !== undefined)
  );
}

/** One of the kinds that a manifest can name and the runtime does not take. */
export function foreignArtifact({ artifacts }: Facts): "wasm" | "command" | undefined {
  return (["wasm", "command"] as const).find((kind) => !artifacts.includes(kind));
}
