import { ToolRuntimeError } from "./errors.ts";

/**
 * What can be limited, with the unit of its numbers. `timeout` is wall time from the tool's start, `cpuTime` time on a
 * processor, `cpu` how many cores at once, `fuel` work by count (WebAssembly alone: the same task takes the same fuel on
 * every machine), `memory` the tool's memory (scratch on tmpfs included), `output` stdout and stderr together, `disk` what
 * the tool writes to files, `processes` processes and threads alive at once.
 */
export const limitUnits = {
  timeout: "ms",
  cpuTime: "ms",
  cpu: "cores",
  fuel: "units",
  memory: "bytes",
  output: "bytes",
  disk: "bytes",
  processes: "count",
} as const;

export type Limit = keyof typeof limitUnits;
export const limitNames: readonly Limit[] = ["timeout", "cpuTime", "cpu", "fuel", "memory", "output", "disk", "processes"];

/** A plain number in the limit's unit, or a quantity: `"256Mi"`, `"1.5G"`, `"500m"`, `"0.5"`, `"30s"`, `"1m30s"`; for fuel `"500M"`. */
export type Quantity = number | string;
export type Resources = { readonly [L in Limit]?: Quantity };
/** Limits as plain numbers in the units of {@link limitUnits}. */
export type LimitValues = { readonly [L in Limit]?: number };

const byteFactors: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3, M: 1e6, G: 1e9, T: 1e12,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40,
}; // prettier-ignore
const durationFactors: Readonly<Record<string, number>> = { us: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 3.6e6 };

const accepted: Readonly<Record<(typeof limitUnits)[Limit], string>> = {
  ms: 'milliseconds as a number, or a duration as "500ms", "30s", "1m30s"',
  bytes: 'bytes as a number, or a quantity as "64Mi", "1G"',
  cores: 'cores as a number, or a quantity as "500m", "0.5"',
  units: 'units as a whole number, or a quantity as "500M", "2G"',
  count: "a whole number",
};

function parseDuration(text: string): number {
  let total = 0;
  let rest = text;
  while (rest !== "") {
    const match = /^(\d+(?:\.\d+)?)(us|ms|s|m|h)/.exec(rest);
    if (match === null) return Number.NaN;
    total += Number(match[1]) * (durationFactors[match[2] ?? ""] ?? Number.NaN);
    rest = rest.slice(match[0].length);
  }
  return text === "" ? Number.NaN : total;
}

function parseText(unit: (typeof limitUnits)[Limit], text: string): number {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text);
  if (unit === "ms") return parseDuration(text);
  const match = /^(\d+(?:\.\d+)?)([A-Za-z]*)$/.exec(text);
  if (match === null) return Number.NaN;
  const [, digits, suffix = ""] = match;
  if (unit === "cores") return suffix === "m" ? Number(digits) / 1000 : Number.NaN;
  const factor = Object.hasOwn(byteFactors, suffix) ? byteFactors[suffix] : undefined;
  if (factor === undefined || unit === "count" || (unit === "units" && suffix.endsWith("i"))) return Number.NaN;
  return Number(digits) * factor;
}

/**
 * Reads a quantity as a number in the limit's unit (ms, bytes, cores, units or a count). The suffixes of bytes and cores are
 * those of Kubernetes (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/).
 *
 * @throws `ERR_ARGUMENT_INVALID` where it is no quantity of that unit, not positive or not finite.
 */
export function parseQuantity(limit: Limit, quantity: Quantity): number {
  const unit = limitUnits[limit];
  const given = typeof quantity === "string" ? parseText(unit, quantity.trim()) : quantity;
  // A caller without types may give anything, and some of it counts as a number.
  const parsed = typeof given === "number" ? given : Number.NaN;
  const value = unit === "bytes" ? Math.floor(parsed) : parsed;
  const whole = (unit !== "count" && unit !== "units") || Number.isInteger(value);
  if (!Number.isFinite(value) || value <= 0 || value > Number.MAX_SAFE_INTEGER || !whole) {
    throw new ToolRuntimeError(
      "ERR_ARGUMENT_INVALID",
      `Cannot read ${JSON.stringify(String(quantity).slice(0, 100))} as the limit "${limit}": it takes ${accepted[unit]}, above zero`,
      { details: { limit, value: quantity } },
    );
  }
  return value;
}

/** @throws `ERR_ARGUMENT_INVALID` for an unknown limit or an unreadable quantity. */
export function parseResources(resources: Resources): LimitValues {
  const values: { [L in Limit]?: number } = {};
  for (const key of Object.keys(resources)) {
    assertLimit(key);
    const quantity = resources[key];
    if (quantity !== undefined) values[key] = parseQuantity(key, quantity);
  }
  return values;
}

export function isLimit(name: string): name is Limit {
  return Object.hasOwn(limitUnits, name);
}

/** @throws `ERR_ARGUMENT_INVALID`. */
export function assertLimit(name: string): asserts name is Limit {
  if (isLimit(name)) return;
  throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot limit ${JSON.stringify(name)}: the limits are ${limitNames.join(", ")}`, {
    details: { limit: name },
  });
}

/** Says a limit's value for people: `64 MiB`, `1.5 s`, `2 cores`. */
export function formatLimit(limit: Limit, value: number): string {
  const unit = limitUnits[limit];
  if (unit === "ms") return value < 1000 ? `${round(value)} ms` : `${round(value / 1000)} s`;
  if (unit === "cores") return value === 1 ? "1 core" : `${round(value)} cores`;
  if (unit === "count") return String(value);
  if (unit === "units") return value === 1 ? "1 unit" : `${value} units`;
  for (const [name, size] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (value >= size) return `${round(value / size)} ${name}`;
  }
  return `${value} bytes`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Which layer a limit's value comes from; later layers win over earlier ones. */
export type LimitOrigin = "profile" | "tool" | "runtime" | "task";

/** One limit of a plan: what was asked, what will be set up and by which mechanism. */
export interface PlannedLimit {
  readonly limit: Limit;
  /** In the limit's unit. */
  readonly value: number;
  readonly origin: LimitOrigin;
  /** Whether the task names it as the most that it may be: no more, and less is as good. */
  readonly isCeiling?: boolean;
  /** Set where more was asked for than the maximum allows (`dev` only; other profiles refuse). */
  readonly clampedFrom?: number;
  /** The mechanism that the backend names, or `"none"` where nothing enforces it. */
  readonly mechanism: string;
}

/**
 * What really held. `applied`, `peak` and `hit` are read back from what enforces the limit after it was set up; what
 * cannot be read is absent or `"unknown"`, never copied from the request.
 */
export interface LimitReceipt {
  readonly limit: Limit;
  /** What was asked for, in `unit`. Absent where nobody did, and it was only counted. */
  readonly requested?: number;
  /** What the enforcer says, in `unit`. Absent where it could not be read or nothing enforces the limit. */
  readonly applied?: number;
  readonly unit: (typeof limitUnits)[Limit];
  readonly enforcedBy: string;
  /** The file, call or global that `applied` was read from. */
  readonly source?: string;
  /** The most that was observed, in `unit`. */
  readonly peak?: number;
  readonly hit: "yes" | "no" | "unknown";
  /** Set in `dev` where the request was over the maximum and was cut to it. */
  readonly clampedFrom?: number;
  /** What a reader must know besides, in one sentence. */
  readonly note?: string;
}

/** What a backend read from an enforcer; the runtime adds what was requested and makes the receipt. */
export interface LimitReading {
  readonly limit: Limit;
  readonly applied?: number;
  readonly enforcedBy?: string;
  readonly source?: string;
  readonly peak?: number;
  readonly hit?: "yes" | "no" | "unknown";
  readonly note?: string;
}

/** The receipt of what nobody limited and was counted all the same. */
export function countOf({ limit, source, peak }: LimitReading): LimitReceipt {
  return {
    limit,
    unit: limitUnits[limit],
    enforcedBy: "none",
    ...(source === undefined ? {} : { source }),
    ...(peak === undefined ? {} : { peak }),
    hit: "no",
    note: "Nobody limited it; it was counted",
  };
}

/** Joins the plan with what was read back. A limit that nobody read is `unknown`. */
export function receiptOf(planned: PlannedLimit, reading: LimitReading | undefined): LimitReceipt {
  const { limit, value, mechanism, clampedFrom } = planned;
  // Assigned one by one: made for each limit of each run, and spreads of optional parts cost more than the rest of it.
  const receipt: { -readonly [K in keyof LimitReceipt]: LimitReceipt[K] } = {
    limit,
    requested: value,
    unit: limitUnits[limit],
    enforcedBy: reading?.enforcedBy ?? mechanism,
    hit: reading?.hit ?? (mechanism === "none" ? "no" : "unknown"),
  };
  if (clampedFrom !== undefined) receipt.clampedFrom = clampedFrom;
  if (reading === undefined) return receipt;
  const { applied, source, peak, note } = reading;
  if (applied !== undefined) receipt.applied = applied;
  if (source !== undefined) receipt.source = source;
  if (peak !== undefined) receipt.peak = peak;
  if (note !== undefined) receipt.note = note;
  return receipt;
}
