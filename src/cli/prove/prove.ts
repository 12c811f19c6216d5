import { arch, cpus, hostname, platform, release, totalmem } from "node:os";
import type { BackendName } from "../../adapters/executor/backends.ts";
import type { Capability, Probe } from "../../backend.ts";
import {
  conformanceCases,
  defineProbe,
  findAbuseFacts,
  nativeCases,
  notHeld,
  runAbuseCase,
  runConformance,
  type AbuseOptions,
  type ConformanceOptions,
} from "../../conformance/index.ts";
import { linuxSnapshot } from "../../conformance/node.ts";
import { toToolRuntimeError } from "../../errors.ts";
import type { ProofReport, ProvedBackend, ProvedCase, ProvedProfile } from "../../internal/proof.ts";
import { limitNames } from "../../limits.ts";
import type { SecurityProfile } from "../../profile.ts";
import { createRuntime } from "../../runtime.ts";
import { servedBy } from "../served-profiles.ts";
import { judgeLimit } from "./report.ts";
import { openSubject, type Subject, type SubjectOptions } from "./subjects.ts";

export interface ProveOptions extends SubjectOptions, Trying {
  readonly backends: readonly BackendName[];
  /** toolruntime's. */
  readonly version: string;
}

/** How a backend is tried. */
export interface Trying {
  readonly profiles: readonly SecurityProfile[];
  /** Only the cases that drive a tool into a limit. */
  readonly limitsOnly: boolean;
  /** Told of each step, for who waits. */
  readonly onStep: (step: string) => void;
  /** Ends the proving after the case that runs. */
  readonly signal: AbortSignal;
}

/** A variable of this process that no tool may see. */
const canary = { name: "TOOLRUNTIME_PROOF_CANARY", value: `canary-${crypto.randomUUID()}` };

/** The cases that the limits are judged by. */
const limitCases: ReadonlySet<string> = new Set(limitNames.flatMap((limit) => judgedBy(limit)));

function judgedBy(limit: (typeof limitNames)[number]): readonly string[] {
  const all = conformanceCases.map(({ id, title }) => ({ suite: "conformance", id, title, outcome: "held" }) as const);
  return judgeLimit(limit, "any", all).cases;
}

/** Runs on each backend what a hostile tool would, and says what held. Never rejects for what is broken. */
export async function prove(options: ProveOptions): Promise<ProofReport> {
  process.env[canary.name] = canary.value;
  const startedAt = new Date().toISOString();
  const backends: ProvedBackend[] = [];
  try {
    for (const name of options.backends) if (!options.signal.aborted) backends.push(await proveBackend(name, options));
  } finally {
    Reflect.deleteProperty(process.env, canary.name);
  }
  const host = {
    name: hostname(),
    platform: platform(),
    arch: arch(),
    kernel: release(),
    node: process.version,
    cpus: cpus().length,
    memoryBytes: totalmem(),
  };
  return { kind: "toolruntime-proof", version: options.version, startedAt, endedAt: new Date().toISOString(), host, backends };
}

async function proveBackend(name: BackendName, options: ProveOptions): Promise<ProvedBackend> {
  options.onStep(name);
  let subject: Subject;
  try {
    subject = await openSubject(name, options);
  } catch (error) {
    return { backend: name, status: "unavailable", reason: toToolRuntimeError(error).message, notes: [], profiles: [] };
  }
  await using opened = subject;
  return proveSubject(opened, options);
}

/** Tries one backend in each profile. Never rejects for what is broken. */
export async function proveSubject(subject: Subject, options: Trying): Promise<ProvedBackend> {
  const probe = await subject.backend.probe();
  const { status, version, reason, notes = [] } = probe;
  const profiles: ProvedProfile[] = [];
  for (const profile of status === "ready" ? options.profiles : []) {
    if (options.signal.aborted) break;
    profiles.push(await proveProfile(subject, { probe, profile, options }));
  }
  return {
    backend: subject.backend.name,
    status,
    ...(version === undefined ? {} : { version }),
    ...(reason === undefined ? {} : { reason }),
    notes: [...notes],
    profiles,
  };
}

interface Part {
  readonly probe: Probe;
  readonly profile: SecurityProfile;
  readonly options: Trying;
}

async function proveProfile(subject: Subject, part: Part): Promise<ProvedProfile> {
  const { probe, profile } = part;
  const nothing = { profile, limits: [], cases: [] };
  if (subject.missing !== undefined) return { ...nothing, verdict: "not tried", reason: subject.missing };
  const capability = probe.capabilities.find((one) => one.artifact in subject.guests && servedBy(one).includes(profile));
  if (capability === undefined) return { ...nothing, ...(await refusal(subject, profile)) };
  const conformance = await runSuite(subject, part);
  const abuse = subject.native === undefined || part.options.limitsOnly ? [] : await attack(subject, part);
  const cases = [...conformance, ...abuse];
  const limits = limitNames.map((limit) => judgeLimit(limit, declaredBy(capability, limit), cases));
  const isBroken = cases.some(({ outcome }) => outcome === "broken");
  const { isolation, artifact } = capability;
  return { profile, verdict: isBroken ? "broken" : "proved", isolation, artifact, limits, cases };
}

function declaredBy(capability: Capability, limit: (typeof limitNames)[number]): string | undefined {
  return limit === "output" ? "runtime" : capability.limits[limit]?.by;
}

/** A profile that is not served must be refused, and that is tried too. */
async function refusal(subject: Subject, profile: SecurityProfile): Promise<Pick<ProvedProfile, "verdict" | "code" | "reason">> {
  const runtime = createRuntime({ backend: subject.backend, security: profile });
  try {
    await runtime.execute({ tool: await defineProbe(subject.guests, {}), input: { do: "echo" } });
    return { verdict: "broken", reason: "the backend does not declare the profile, and ran a tool in it" };
  } catch (error) {
    const { code, message, started } = toToolRuntimeError(error);
    return started ? { verdict: "broken", code, reason: message } : { verdict: "refused", code, reason: message };
  } finally {
    await runtime.close();
  }
}

async function runSuite(subject: Subject, { profile, options }: Part): Promise<ProvedCase[]> {
  const { backend, guests, ambientEnv, maxHeldBytes, trace } = subject;
  const suite: ConformanceOptions = {
    name: backend.name,
    open: (settings) => createRuntime({ ...settings, backend }),
    guests,
    profile,
    canary,
    ambientEnv,
    ...(trace === undefined ? {} : { trace }),
    ...(maxHeldBytes === undefined ? {} : { maxHeldBytes }),
    // A process of its own tells of its tool's start a little later.
    ...(profile === "hardened" ? { eventDelayMs: 100 } : {}),
  };
  const proved: ProvedCase[] = [];
  for (const { id, title } of conformanceCases) {
    if (options.signal.aborted) break;
    if (options.limitsOnly && !limitCases.has(id)) continue;
    options.onStep(`${backend.name}, ${profile}: ${id}`);
    const startedAt = performance.now();
    const [verdict] = await runConformance(suite, { only: [id] });
    const ms = Math.round(performance.now() - startedAt);
    const head = { suite: "conformance", id, title } as const;
    if (verdict?.outcome === "passed") proved.push({ ...head, outcome: "held", ms });
    else if (verdict?.outcome === "failed") proved.push({ ...head, outcome: "broken", ms, reason: verdict.error.message });
    else proved.push({ ...head, outcome: "not tried", reason: verdict?.reason ?? "it gave no verdict" });
  }
  return proved;
}

/** The rows of the abuse corpus for programs, each with a victim beside it. */
async function attack({ backend, scratch, native }: Subject, { profile, options }: Part): Promise<ProvedCase[]> {
  if (native === undefined) return [];
  const corpus: AbuseOptions = {
    name: backend.name,
    profile,
    open: (settings) => createRuntime({ ...settings, backend }),
    ...native,
    canary: canary.value,
    snapshot: linuxSnapshot({ scratch }),
  };
  const facts = await findAbuseFacts(corpus);
  const proved: ProvedCase[] = [];
  for (const one of nativeCases) {
    if (options.signal.aborted) break;
    const head = { suite: "abuse", id: one.id, title: one.title } as const;
    const reason = notHeld(one, facts);
    if (reason !== undefined) {
      proved.push({ ...head, outcome: "not tried", reason });
      continue;
    }
    options.onStep(`${backend.name}, ${profile}: ${one.id} ${one.title}`);
    const startedAt = performance.now();
    const broken = await runAbuseCase(one, corpus, facts).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    const ms = Math.round(performance.now() - startedAt);
    proved.push(broken === undefined ? { ...head, outcome: "held", ms } : { ...head, outcome: "broken", ms, reason: broken });
  }
  return proved;
}
