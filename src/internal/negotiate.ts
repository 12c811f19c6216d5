import type { Capability, Enforcement, Probe } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import { assertLimit, formatLimit, limitNames, type Limit, type LimitOrigin, type LimitValues, type PlannedLimit } from "../limits.ts";
import { profiles, type SecurityProfile } from "../profile.ts";
import { artifactKinds, type ArtifactKind, type Tool } from "../tool.ts";

/** What the layers ask for. Values are in the units of `limitUnits`. */
export interface Demand {
  readonly backend: string;
  readonly tool: Tool;
  readonly profile: SecurityProfile;
  readonly task: LimitValues;
  readonly runtime: LimitValues;
  readonly maxima: LimitValues;
  readonly bestEffort: readonly Limit[];
  /** Limits of the task that are ceilings. */
  readonly atMost?: readonly Limit[];
  readonly allowsBestEffort: boolean;
  readonly deterministic: boolean;
}

/** The runtime counts and cuts output by itself, whatever the backend. */
const enforcedByRuntime: { readonly [L in Limit]?: Enforcement } = { output: { by: "runtime" } };

/**
 * Finds the capability that can run the tool under the profile.
 *
 * @throws `ERR_BACKEND_UNAVAILABLE`, `ERR_ARTIFACT_UNSUPPORTED`, `ERR_PROFILE_UNSUPPORTED`, `ERR_NETWORK_UNSUPPORTED`,
 * `ERR_DETERMINISM_UNSUPPORTED`.
 */
export function chooseCapability(demand: Demand, probe: Probe): Capability {
  const { backend, tool, profile } = demand;
  const context = { backend, details: { tool: tool.manifest.name, profile } };
  if (probe.status !== "ready") {
    const advice = probe.advice === undefined ? "" : `; ${probe.advice}`;
    throw new ToolRuntimeError(
      "ERR_BACKEND_UNAVAILABLE",
      `Cannot use the backend "${backend}": ${probe.reason ?? "it is not ready"}${advice}`,
      context,
    );
  }
  const artifacts: Readonly<Partial<Record<ArtifactKind, unknown>>> = tool.manifest.artifacts;
  const has = artifactKinds.filter((kind) => artifacts[kind] !== undefined);
  const fitting = probe.capabilities.filter(({ artifact }) => has.includes(artifact));
  if (fitting.length === 0) {
    const takes = [...new Set(probe.capabilities.map(({ artifact }) => artifact))].join(", ");
    throw new ToolRuntimeError(
      "ERR_ARTIFACT_UNSUPPORTED",
      `Cannot run the tool "${tool.manifest.name}" on backend "${backend}": it has ${has.join(", ")}, the backend takes ${takes}`,
      context,
    );
  }
  const allowed = fitting.filter((one) => one.profiles.includes(profile) && profiles[profile].isolation.includes(one.isolation));
  if (allowed.length === 0) {
    throw new ToolRuntimeError(
      "ERR_PROFILE_UNSUPPORTED",
      `Cannot run the tool "${tool.manifest.name}" on backend "${backend}" in profile "${profile}": ${whyRefused(profile, fitting, probe)}`,
      context,
    );
  }
  const hosts = tool.manifest.permissions?.network ?? [];
  const connected = hosts.length === 0 ? allowed : allowed.filter(({ network }) => network !== "none");
  if (connected.length === 0) {
    throw new ToolRuntimeError(
      "ERR_NETWORK_UNSUPPORTED",
      `Cannot give the tool "${tool.manifest.name}" the network on backend "${backend}" in profile "${profile}": there is no egress broker; run it in a profile and on a backend that lets the network through`,
      { ...context, details: { ...context.details, hosts } },
    );
  }
  const chosen = demand.deterministic ? connected.find(({ deterministic }) => deterministic === true) : connected[0];
  if (chosen !== undefined) return chosen;
  throw new ToolRuntimeError(
    "ERR_DETERMINISM_UNSUPPORTED",
    `Cannot run the tool "${tool.manifest.name}" deterministically on backend "${backend}" in profile "${profile}": clocks, random and scheduling are the machine's there; use the backend "wasm", or leave "deterministic" away`,
    context,
  );
}

/** Its wall is too thin; or it is thick enough, and the backend says in a note what is wrong with it here. */
function whyRefused(profile: SecurityProfile, fitting: readonly Capability[], { notes = [] }: Probe): string {
  const { isolation: taken } = profiles[profile];
  const walls = [...new Set(fitting.map(({ isolation }) => isolation))];
  if (!walls.some((wall) => taken.includes(wall)))
    return `the backend isolates by ${walls.join(", ")}, the profile takes ${taken.join(", ")}`;
  const served = [...new Set(fitting.flatMap((one) => one.profiles))].join(", ") || "no profile";
  const note = notes.find((text) => text.includes(`"${profile}"`));
  return note === undefined ? `here it serves ${served}` : `here it serves ${served} (${note})`;
}

interface Picked {
  readonly value: number;
  readonly origin: LimitOrigin;
  readonly isCeiling?: boolean;
}

/** A ceiling is no wish: what would hold without it is held where that is less. */
function pick(demand: Demand, limit: Limit): Picked | undefined {
  const ceiling = demand.task[limit];
  if (ceiling === undefined || demand.atMost?.includes(limit) !== true) return pickAsked(demand, limit);
  const own = pickAsked({ ...demand, task: {} }, limit);
  const value = Math.min(ceiling, maximumOf(demand, limit), own?.value ?? Number.POSITIVE_INFINITY);
  return { value, origin: "task", isCeiling: true };
}

function pickAsked(demand: Demand, limit: Limit): Picked | undefined {
  const layers: readonly [LimitOrigin, LimitValues][] = [
    ["task", demand.task],
    ["runtime", demand.runtime],
    ["tool", demand.tool.resources],
    ["profile", profiles[demand.profile].defaults],
  ];
  for (const [origin, values] of layers) {
    const value = values[limit];
    if (value !== undefined) return { value, origin };
  }
  return undefined;
}

/** What the operator set himself is never over the maximum. */
function maximumOf(demand: Demand, limit: Limit): number {
  const rules = profiles[demand.profile];
  const base = rules.defaults[limit];
  const maximum = demand.maxima[limit] ?? (base === undefined ? Number.POSITIVE_INFINITY : base * rules.maximumFactor);
  return Math.max(maximum, demand.runtime[limit] ?? 0);
}

function planLimit(demand: Demand, capability: Capability, limit: Limit): PlannedLimit | undefined {
  const picked = pick(demand, limit);
  if (picked === undefined) return undefined;
  const { origin } = picked;
  const { profile } = demand;
  const maximum = maximumOf(demand, limit);
  // A default over the operator's maximum is what nobody asked for: it is cut without a word.
  const isOver = picked.value > maximum && origin !== "profile";
  const value = Math.min(picked.value, maximum);
  const clamped = { ...(isOver ? { clampedFrom: picked.value } : {}), ...(picked.isCeiling === true ? { isCeiling: true } : {}) };
  const enforcement = enforcedByRuntime[limit] ?? capability.limits[limit];
  const isInRange = enforcement !== undefined && value >= (enforcement.min ?? 0) && value <= (enforcement.max ?? Number.POSITIVE_INFINITY);
  if (isInRange) return { limit, value, origin, ...clamped, mechanism: enforcement.by };
  const isDemanded = profiles[profile].demands.includes(limit);
  const isExplicit = origin === "task" || origin === "runtime";
  if (isDemanded || (isExplicit && !demand.bestEffort.includes(limit))) {
    throw unenforceable(demand, capability, limit, value, isDemanded);
  }
  return { limit, value, origin, ...clamped, mechanism: "none" };
}

function unenforceable(demand: Demand, capability: Capability, limit: Limit, value: number, isDemanded: boolean): ToolRuntimeError {
  const { backend, profile, tool } = demand;
  const enforcement = capability.limits[limit];
  const why =
    enforcement === undefined
      ? "nothing enforces it there"
      : `there it must be between ${formatLimit(limit, enforcement.min ?? 0)} and ${enforcement.max === undefined ? "any value" : formatLimit(limit, enforcement.max)}`;
  const how = isDemanded
    ? `profile "${profile}" demands it, so use a backend that enforces it`
    : `use a backend that enforces it, or name "${limit}" in bestEffort`;
  return new ToolRuntimeError(
    "ERR_LIMIT_UNENFORCEABLE",
    `Cannot hold the tool "${tool.manifest.name}" to the limit "${limit}" of ${formatLimit(limit, value)} on backend "${backend}": ${why}; ${how}`,
    { backend, details: { limit, value, profile, demandedByProfile: isDemanded } },
  );
}

function denied(demand: Demand, limit: Limit, message: string, details: Readonly<Record<string, unknown>> = {}): ToolRuntimeError {
  const { backend, profile } = demand;
  return new ToolRuntimeError("ERR_POLICY_DENIED", message, { backend, details: { limit, profile, ...details } });
}

/**
 * Refuses what the operator's policy forbids, whatever a backend could do: more than a maximum where the profile does not
 * cut to it, and `bestEffort` for what the profile demands.
 */
function assertPolicy(demand: Demand): void {
  const { backend, profile } = demand;
  demand.atMost?.forEach(assertLimit);
  for (const limit of demand.bestEffort) {
    assertLimit(limit);
    const isDemanded = profiles[profile].demands.includes(limit);
    if (demand.allowsBestEffort && !isDemanded) continue;
    const why = demand.allowsBestEffort ? `profile "${profile}" demands it` : "the operator's policy allows no bestEffort";
    throw denied(demand, limit, `Cannot take the limit "${limit}" as bestEffort on backend "${backend}": ${why}`);
  }
  if (profiles[profile].clamps) return;
  for (const limit of limitNames) {
    const picked = pick(demand, limit);
    const maximum = maximumOf(demand, limit);
    if (picked === undefined || picked.origin === "profile" || picked.value <= maximum) continue;
    const [asked, most] = [formatLimit(limit, picked.value), formatLimit(limit, maximum)];
    const message = `Cannot give the ${picked.origin} ${asked} as "${limit}" in profile "${profile}": the most is ${most}`;
    throw denied(demand, limit, message, { requested: picked.value, maximum });
  }
}

/**
 * Settles how a task would run, and fails closed: a limit that the profile demands or somebody asked for, and that nothing
 * enforces, refuses the task before anything starts. Policy comes first: what it forbids is not worth looking for.
 *
 * @throws `ERR_POLICY_DENIED`, what {@link chooseCapability} throws, `ERR_LIMIT_UNENFORCEABLE`.
 */
export function negotiate(demand: Demand, probe: Probe): { readonly capability: Capability; readonly limits: PlannedLimit[] } {
  assertPolicy(demand);
  const capability = chooseCapability(demand, probe);
  return { capability, limits: limitNames.flatMap((limit) => planLimit(demand, capability, limit) ?? []) };
}
