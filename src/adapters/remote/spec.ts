import type { Plan, RunIo } from "../../backend.ts";
import type { Limit } from "../../limits.ts";
import { stricter } from "../../profile.ts";
import { mediaTypes, wireHeaders } from "../../wire.ts";
import type { Catalog } from "./peer.ts";

/** A run is ended here at its deadline; a node that cannot be told ends it by itself, a little later. */
const deadlineSlackMs = 1000;
/** What services take as a request's id. */
const requestIdPattern = /^[A-Za-z0-9._:-]{1,64}$/;
const decoder = new TextDecoder();

/**
 * The request's members, its input and files apart: the plan as data. A node that runs in a stricter profile keeps it; limits go
 * as what the task asks for where the caller did, and as ceilings where they come of this side's own defaults.
 */
export function membersOf(
  plan: Plan,
  io: Pick<RunIo, "env" | "secretNames">,
  { security, features }: Pick<Catalog, "security" | "features">,
) {
  const { manifest, digest } = plan.tool;
  const isOwnProfile = stricter(plan.profile, security) === plan.profile;
  const resources: { [L in Limit]?: number } = {};
  const bestEffort: Limit[] = [];
  const atMost: Limit[] = [];
  for (const { limit, value, mechanism, origin, isCeiling } of plan.limits) {
    // What nobody asked for and nothing enforces has the same default there; in a stricter profile a stricter one.
    if (mechanism === "none" && origin !== "task" && origin !== "runtime") continue;
    // As a ceiling it lets the node's own default stand where that is lower.
    if (origin === "profile" && !isOwnProfile && !features.has("at-most")) continue;
    resources[limit] = value;
    if (mechanism === "none") bestEffort.push(limit);
    // What the caller did not ask for by himself is no reason to refuse him.
    else if (features.has("at-most") && (origin !== "task" || isCeiling === true)) atMost.push(limit);
  }
  const secrets = Object.entries(io.secretNames ?? {}).map(([name, secret]) => [name, { secret }] as const);
  const env = { ...io.env, ...Object.fromEntries(secrets) };
  const { deterministic } = plan;
  return {
    tool: `${manifest.name}@${digest}`,
    resources,
    ...(Object.keys(env).length === 0 ? {} : { env }),
    // A request for a profile below the node's own would be refused.
    ...(plan.profile === security || !isOwnProfile ? {} : { security: plan.profile }),
    ...(bestEffort.length === 0 ? {} : { bestEffort }),
    ...(atMost.length === 0 ? {} : { atMost }),
    ...(deterministic === undefined ? {} : { deterministic: { seed: deterministic.seed, now: deterministic.nowMs } }),
  };
}

/** The input's JSON text, which goes as it is. */
export function inputOf({ stdin }: Pick<RunIo, "stdin">): string {
  return decoder.decode(stdin);
}

export interface Heading {
  /** The same for the same run on the same node, however often it is sent there. */
  readonly key: string;
  readonly ticket: string | undefined;
  /** Where it is asked once more: the process that was asked first. */
  readonly instance: string | undefined;
  readonly lease: string;
  /** Nothing where the node does not know of windows. */
  readonly windowBytes: number | undefined;
}

export function headersOf(
  io: Pick<RunIo, "id" | "remainingMs">,
  { key, ticket, instance, lease, windowBytes }: Heading,
): Record<string, string> {
  const remainingMs = io.remainingMs?.();
  return {
    accept: mediaTypes.ndjson,
    // Not the run's id: who runs a task twice under one id wants two runs.
    [wireHeaders.idempotencyKey]: key,
    ...(ticket === undefined ? {} : { [wireHeaders.ticket]: ticket }),
    ...(instance === undefined ? {} : { [wireHeaders.instance]: instance }),
    [wireHeaders.lease]: lease,
    // What the events have brought is not wanted once more.
    prefer: "return=minimal",
    ...(windowBytes === undefined ? {} : { [wireHeaders.window]: String(windowBytes) }),
    // Joins the node's log with the one here.
    ...(requestIdPattern.test(io.id) ? { [wireHeaders.requestId]: io.id } : {}),
    ...(remainingMs === undefined ? {} : { [wireHeaders.deadline]: String(Math.max(1, Math.ceil(remainingMs + deadlineSlackMs))) }),
  };
}
