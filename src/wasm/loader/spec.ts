import { enforcedValue, type Plan } from "../../backend.ts";
import { canonicalJson } from "../../internal/json.ts";
import type { Digest } from "../../tool.ts";
import type { MadeArtifact } from "../made.ts";
import type { WorkerCode, WorkerModule } from "./client.ts";
import type { IsolateFacts } from "./isolate.ts";

/** What an isolate is loaded from. */
export interface IsolateParts {
  readonly plan: Plan;
  readonly made: MadeArtifact;
  /** The engine that runs in it: JavaScript. */
  readonly engine: string;
  readonly compatibilityDate: string;
}

/** What the engine takes besides the guest: it starts, links and takes the instance apart. */
const engineCpuMs = 250;
/** The most that the platform takes (https://developers.cloudflare.com/workers/platform/limits/). */
const maxCpuMs = 300_000;
/** Where neither time is limited: the platform's own default. */
const defaultCpuMs = 30_000;

/**
 * The processor time of one call. A guest ends at its own limit by itself; this is for a guest that does not, and for where the
 * clock stands still while it runs.
 */
export function cpuMsOf(plan: Pick<Plan, "limits">): number {
  const guestMs = enforcedValue(plan, "cpuTime") ?? enforcedValue(plan, "timeout") ?? defaultCpuMs;
  return Math.min(Math.ceil(guestMs) + engineCpuMs, maxCpuMs);
}

/** All security settings of an isolate are here: it gets the engine, the artifact and nothing else. */
export function isolateCode({ plan, made, engine, compatibilityDate }: IsolateParts): WorkerCode {
  const { modules: bytes, script, ...head } = made;
  const names = Object.keys(bytes);
  const facts: IsolateFacts = { tool: plan.tool.manifest.name, artifact: head, names };
  const modules: Record<string, WorkerModule> = {
    "main.js": { js: mainModule(names.length, script !== undefined) },
    "engine.js": { js: engine },
    "facts.json": { json: facts },
    ...(script === undefined ? {} : { "script.js": { js: script } }),
  };
  for (const [index, module] of Object.values(bytes).entries()) modules[`${index}.wasm`] = { wasm: ownBuffer(module) };
  return {
    compatibilityDate,
    compatibilityFlags: [],
    mainModule: "main.js",
    modules,
    env: {},
    // Threat: a guest that broke out of the engine finds, in JavaScript, no network and no binding.
    globalOutbound: null,
    // There is nothing to call; what 0 means to the platform is not written anywhere.
    limits: { cpuMs: cpuMsOf(plan), subRequests: 1 },
  };
}

/** Nothing of the tool's stands in this text. */
function mainModule(modules: number, hasScript: boolean): string {
  const indexes = Array.from({ length: modules }, (_, index) => index);
  return [
    'import { isolate } from "./engine.js";',
    'import facts from "./facts.json";',
    ...(hasScript ? ['import { instantiate } from "./script.js";'] : []),
    ...indexes.map((index) => `import m${index} from "./${index}.wasm";`),
    `export default isolate(facts, { modules: [${indexes.map((index) => `m${index}`).join(", ")}]${hasScript ? ", instantiate" : ""} });`,
  ].join("\n");
}

function ownBuffer(bytes: Uint8Array<ArrayBuffer>): ArrayBuffer {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}

/** What an isolate is known by: digests in the place of what they stand for. */
export interface IdentityParts {
  readonly plan: Plan;
  readonly made: Digest;
  readonly engine: Digest;
  readonly compatibilityDate: string;
}

/**
 * Everything that two runs must have in common to share an isolate, as text. A platform keeps what it has loaded under an id, and
 * asks nobody whether it is still right.
 */
export function isolateIdentity({ plan, made, ...parts }: IdentityParts): string {
  const limits = plan.limits.map(({ limit, value, mechanism }) => [limit, value, mechanism]);
  return canonicalJson({ ...parts, tool: plan.tool.manifest.name, artifact: made, profile: plan.profile, limits });
}
