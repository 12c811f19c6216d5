import * as z from "zod/mini";
import { limitNames } from "../limits.ts";
import { securityProfiles } from "../profile.ts";

const text = z.exactOptional(z.string());
const ms = z.exactOptional(z.number());

/** What became of one attack or demand: `held`, `broken`, or not tried, with the reason. */
const outcome = z.enum(["held", "broken", "not tried"]);

const provedCase = z.object({
  suite: z.enum(["conformance", "abuse"]),
  /** Stable: a case of the conformance suite, a row of the abuse corpus. */
  id: z.string(),
  title: z.string(),
  outcome,
  /** How long it took; absent where it was not tried. */
  ms,
  /** Why it was not tried, or how it broke. */
  reason: text,
});

const provedLimit = z.object({
  limit: z.enum(limitNames),
  /** The mechanism that the backend declares; absent where it declares none. */
  declared: text,
  /** Over all the cases that drive a tool into the limit. */
  outcome,
  cases: z.array(z.string()),
  ms,
});

const provedProfile = z.object({
  profile: z.enum(securityProfiles),
  /** `proved`: all that was tried held, and something was. `refused`: the backend does not serve the profile, and says so with a code. */
  verdict: z.enum(["proved", "broken", "refused", "not tried"]),
  isolation: text,
  artifact: text,
  /** The code of the refusal. */
  code: text,
  reason: text,
  limits: z.array(provedLimit),
  cases: z.array(provedCase),
});

const provedBackend = z.object({
  backend: z.string(),
  status: z.enum(["ready", "unavailable"]),
  version: text,
  reason: text,
  notes: z.array(z.string()),
  profiles: z.array(provedProfile),
});

/** What `toolruntime doctor --prove` found: plain data, to be printed, kept or signed. */
export const proofReportSchema = z.object({
  kind: z.literal("toolruntime-proof"),
  /** toolruntime's. */
  version: z.string(),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime(),
  host: z.object({
    name: z.string(),
    platform: z.string(),
    arch: z.string(),
    kernel: z.string(),
    node: z.string(),
    cpus: z.number(),
    memoryBytes: z.number(),
  }),
  backends: z.array(provedBackend),
});

export type ProofReport = z.output<typeof proofReportSchema>;
export type ProvedBackend = z.output<typeof provedBackend>;
export type ProvedProfile = z.output<typeof provedProfile>;
export type ProvedLimit = z.output<typeof provedLimit>;
export type ProvedCase = z.output<typeof provedCase>;
export type ProofOutcome = z.output<typeof outcome>;
