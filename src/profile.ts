import { ToolRuntimeError } from "./errors.ts";
import type { Limit, LimitValues } from "./limits.ts";

/** From the loosest to the strictest. */
export const securityProfiles = ["dev", "standard", "hardened"] as const;
export type SecurityProfile = (typeof securityProfiles)[number];

/**
 * The wall between a tool and its host. `wasm` is a WebAssembly sandbox in the serving process, `isolate` one in an isolate of
 * its own that a platform gives, `wasm-process` one in a process of its own that can be killed, `container` shares the host's
 * kernel.
 */
export type Isolation = "none" | "wasm" | "isolate" | "container" | "wasm-process" | "gvisor" | "vm";

export interface ProfileRules {
  readonly isolation: readonly Isolation[];
  /** Limits that must be enforced. They cannot be waived by `bestEffort`. */
  readonly demands: readonly Limit[];
  /** Where nobody names a value. Units: ms, bytes, count, cores. */
  readonly defaults: LimitValues;
  /** How many times the default a caller may ask for, unless the operator sets other maxima. */
  readonly maximumFactor: number;
  /** Between SIGTERM and SIGKILL. */
  readonly graceMs: number;
  /** Whether a request over a maximum is cut to it, with a word in the receipt, or refused. */
  readonly clamps: boolean;
  /** Whether `bestEffort` may name limits at all, unless the operator's policy says otherwise. */
  readonly allowsBestEffort: boolean;
  /** Whether `__proto__` and `constructor.prototype` in an input are refused, or are inert data. */
  readonly refusesPrototypeKeys: boolean;
}

const MiB = 2 ** 20;

/** The default limits and maxima are those of the table in docs/limits.md; the profiles' other demands follow it. */
export const profiles: Readonly<Record<SecurityProfile, ProfileRules>> = {
  dev: {
    isolation: ["none", "wasm", "isolate", "container", "wasm-process", "gvisor", "vm"],
    demands: [],
    defaults: { timeout: 60_000, memory: 512 * MiB, output: 16 * MiB, processes: 512, disk: 1024 * MiB, cpu: 1 },
    maximumFactor: 10,
    graceMs: 5000,
    clamps: true,
    allowsBestEffort: true,
    refusesPrototypeKeys: false,
  },
  standard: {
    isolation: ["wasm", "isolate", "container", "wasm-process", "gvisor", "vm"],
    demands: ["timeout", "memory", "output", "processes", "disk"],
    defaults: { timeout: 10_000, memory: 128 * MiB, output: MiB, processes: 64, disk: 100 * MiB, cpu: 1 },
    maximumFactor: 10,
    graceMs: 1000,
    clamps: false,
    allowsBestEffort: true,
    refusesPrototypeKeys: true,
  },
  hardened: {
    isolation: ["wasm-process", "gvisor", "vm"],
    demands: ["timeout", "memory", "output", "processes", "disk"],
    defaults: { timeout: 5000, memory: 64 * MiB, output: 256 * 1024, processes: 16, disk: 16 * MiB, cpu: 1 },
    maximumFactor: 10,
    graceMs: 500,
    clamps: false,
    allowsBestEffort: true,
    refusesPrototypeKeys: true,
  },
};

/**
 * Refuses a name that is no profile: taken as it is, a mistyped one would count as the weakest.
 *
 * @throws `ERR_ARGUMENT_INVALID`.
 */
export function assertProfile(name: string): asserts name is SecurityProfile {
  if (securityProfiles.some((known) => known === name)) return;
  throw new ToolRuntimeError(
    "ERR_ARGUMENT_INVALID",
    `Cannot use the profile ${JSON.stringify(name)}: the profiles are ${securityProfiles.join(", ")}`,
    { details: { profile: name } },
  );
}

/** The stricter of two profiles. */
export function stricter(a: SecurityProfile, b: SecurityProfile): SecurityProfile {
  return securityProfiles.indexOf(a) >= securityProfiles.indexOf(b) ? a : b;
}

/** The weaker of two profiles. */
export function weaker(a: SecurityProfile, b: SecurityProfile): SecurityProfile {
  return stricter(a, b) === a ? b : a;
}
