import type { Capability, Determinism, Plan, Probe } from "../backend.ts";
import { parseResources, type PlannedLimit } from "../limits.ts";
import { assertProfile, profiles, stricter, type SecurityProfile } from "../profile.ts";
import type { Task } from "../runtime.ts";
import type { Tool } from "../tool.ts";
import { sha256 } from "./digest.ts";
import { parseDeterminism } from "./determinism.ts";
import { JointQuestion } from "./joint-question.ts";
import { canonicalJson } from "./json.ts";
import { negotiate } from "./negotiate.ts";
import type { Settings } from "./runtime-settings.ts";

/** Plans kept per tool; the requests of one tool rarely differ. */
const maxPlansPerTool = 64;

/** What a probe said, and the plans that were made on its word. */
export interface ProbeState {
  readonly probe: Probe;
  readonly until: number;
  readonly plans: WeakMap<Tool, Map<string, Plan>>;
}

/** What negotiation comes to, before it is frozen. */
export interface Terms {
  readonly capability: Capability;
  readonly limits: PlannedLimit[];
  readonly profile: SecurityProfile;
  readonly deterministic?: Determinism;
}

/** Asks the backend what it can, and settles each task with it. Plans are kept as long as the probe holds. */
export class Planner {
  readonly #settings: Settings;
  #state: ProbeState | undefined;
  readonly #probing = new JointQuestion(() => this.#probe());

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Asks anew; whoever asks meanwhile gets the same answer. */
  probe(): Promise<ProbeState> {
    return this.#probing.ask();
  }

  async #probe(): Promise<ProbeState> {
    const probe = await this.#settings.backend.probe();
    return (this.#state = { probe, until: performance.now() + probe.validForMs, plans: new WeakMap() });
  }

  /** What the last probe said, while it holds. */
  get current(): ProbeState | undefined {
    const state = this.#state;
    return state !== undefined && performance.now() < state.until ? state : undefined;
  }

  /** The plan for such a task where one was made already. */
  peek(state: ProbeState, tool: Tool, task: Task): Plan | undefined {
    return state.plans.get(tool)?.get(planKey(task));
  }

  /** @throws what negotiation refuses; see `negotiate.ts`. */
  async plan(state: ProbeState, tool: Tool, task: Task): Promise<Plan> {
    const plan = await freezePlan(tool, this.negotiate(state.probe, tool, task));
    const plans = state.plans.get(tool) ?? new Map<string, Plan>();
    if (plans.size >= maxPlansPerTool) plans.clear();
    state.plans.set(tool, plans.set(planKey(task), plan));
    return plan;
  }

  /** @throws what negotiation refuses; see `negotiate.ts`. */
  negotiate(probe: Probe, tool: Tool, task: Task): Terms {
    const { backend, security, resources, maxima, allowsBestEffort } = this.#settings;
    const profile = profileOf(task, security);
    const deterministic = task.deterministic === undefined ? undefined : parseDeterminism(task.deterministic);
    const demand = {
      backend: backend.name,
      tool,
      profile,
      task: parseResources(task.resources ?? {}),
      runtime: resources,
      maxima,
      bestEffort: task.bestEffort ?? [],
      atMost: task.atMost ?? [],
      allowsBestEffort: allowsBestEffort && profiles[profile].allowsBestEffort,
      deterministic: deterministic !== undefined,
    };
    return { ...negotiate(demand, probe), profile, ...(deterministic === undefined ? {} : { deterministic }) };
  }
}

/** The stricter of the task's profile and the runtime's. @throws `ERR_ARGUMENT_INVALID`. */
export function profileOf(task: Task, security: SecurityProfile): SecurityProfile {
  if (task.security === undefined) return security;
  assertProfile(task.security);
  return stricter(task.security, security);
}

/** The part of a task that negotiation looks at. */
function planKey({ resources, security, bestEffort, atMost, deterministic }: Task): string {
  if (resources === undefined && security === undefined && bestEffort === undefined && deterministic === undefined) return "";
  return JSON.stringify([resources, security, bestEffort, atMost, deterministic]);
}

async function freezePlan(tool: Tool, { capability, limits, profile, deterministic }: Terms): Promise<Plan> {
  const { artifact, isolation, network } = capability;
  const fixed = deterministic === undefined ? {} : { deterministic: Object.freeze(deterministic) };
  const facts = { tool: tool.digest, artifact, profile, isolation, network, limits, ...fixed };
  return Object.freeze({
    digest: await sha256(canonicalJson(facts)),
    tool,
    artifact,
    profile,
    isolation,
    network,
    limits: Object.freeze(limits),
    graceMs: profiles[profile].graceMs,
    ...fixed,
  });
}
