import type { Backend } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import { parseQuantity, parseResources, type LimitValues } from "../limits.ts";
import { assertProfile, type SecurityProfile } from "../profile.ts";
import type { Registry } from "../registry.ts";
import type { RuntimeOptions } from "../runtime.ts";
import { memoryBlobStore, type BlobStore } from "../store.ts";
import { Gate, type Concurrency } from "./gate.ts";

/** A runtime's options, read and complete. */
export interface Settings {
  readonly backend: Backend;
  readonly security: SecurityProfile;
  readonly resources: LimitValues;
  readonly maxima: LimitValues;
  readonly tools: Registry | undefined;
  readonly blobs: BlobStore;
  readonly secrets: NonNullable<RuntimeOptions["secrets"]>;
  readonly allowsBestEffort: boolean;
  readonly maxInputBytes: number;
  readonly maxOutputFiles: number;
  readonly captureBytes: number;
}

function wholeNumber(option: string, value: number, least = 0): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot use ${value} as "${option}": it takes a whole number from ${least}`, {
    details: { option },
  });
}

/** @throws `ERR_ARGUMENT_INVALID`. */
export function readSettings(options: RuntimeOptions): Settings {
  const security = options.security ?? "standard";
  assertProfile(security);
  const timeout = options.timeout === undefined ? {} : { timeout: parseQuantity("timeout", options.timeout) };
  return {
    backend: options.backend,
    security,
    resources: { ...parseResources(options.resources ?? {}), ...timeout },
    maxima: parseResources(options.maxima ?? {}),
    tools: options.tools,
    blobs: options.blobs ?? memoryBlobStore(),
    secrets: options.secrets ?? (() => undefined),
    allowsBestEffort: options.allowsBestEffort ?? true,
    maxInputBytes: wholeNumber("maxInputBytes", options.maxInputBytes ?? 64 * 2 ** 20),
    maxOutputFiles: wholeNumber("maxOutputFiles", options.maxOutputFiles ?? 256),
    captureBytes: wholeNumber("captureBytes", options.captureBytes ?? 64 * 2 ** 10),
  };
}

/**
 * What tasks wait in for a place; nothing where there is no bound. A backend's own bound holds too.
 *
 * @throws `ERR_ARGUMENT_INVALID`.
 */
export function openGate(concurrency: Concurrency | undefined, backend: Backend): Gate | undefined {
  const capacity = backend.capacity === undefined ? undefined : (): number | undefined => backend.capacity;
  if (concurrency === undefined) return capacity === undefined ? undefined : new Gate(unbounded, capacity);
  const { running, queued, tenants } = concurrency;
  for (const [name, quota] of Object.entries(tenants ?? {})) {
    if (quota.running !== undefined) wholeNumber(`concurrency.tenants.${name}.running`, quota.running, 1);
    if (quota.queued !== undefined) wholeNumber(`concurrency.tenants.${name}.queued`, quota.queued);
  }
  const limits = { running: wholeNumber("concurrency.running", running, 1), queued: wholeNumber("concurrency.queued", queued) };
  return new Gate(tenants === undefined ? limits : { ...limits, tenants }, capacity);
}

const unbounded: Concurrency = Object.freeze({ running: Number.POSITIVE_INFINITY, queued: Number.POSITIVE_INFINITY });
