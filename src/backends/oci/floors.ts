import type { SecurityProfile } from "../../profile.ts";

/**
 * The oldest versions of engines whose known ways out of a container are closed. Upstream versions: a distribution's backport of a
 * fix to an older one does not count.
 */
const floors: Readonly<Record<string, readonly string[]>> = {
  // GHSA-9493-h29p-rfm2, GHSA-qw9x-cqr3-wc7r, GHSA-cgrx-mc8f-2prm (1.2.8, 1.3.3), CVE-2026-41579 (1.3.6, 1.4.3).
  runc: ["1.3.6", "1.4.3"],
  // CVE-2025-2713, told of on 28 March 2025. Its releases are days.
  runsc: ["20250331.0.0"],
};

export interface EngineVersion {
  readonly name: string;
  /** As the engine says it; what a distribution adds to the upstream version is left out. */
  readonly version: string;
}

type Triple = readonly [number, number, number];

function parse(version: string): Triple | undefined {
  const [, major, minor, patch] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version) ?? [];
  return major === undefined ? undefined : [Number(major), Number(minor), Number(patch)];
}

function compare(a: Triple, b: Triple): number {
  for (const index of [0, 1, 2] as const) if (a[index] !== b[index]) return a[index] - b[index];
  return 0;
}

/** The oldest good version for an engine that is too old, or nothing where it is not, or none is known. */
export function floorAbove({ name, version }: EngineVersion): string | undefined {
  const known = floors[name];
  const own = parse(version);
  if (known === undefined) return undefined;
  if (own === undefined) return known[0];
  const triples = known.map((floor) => [floor, parse(floor)] as const);
  // Each line of releases has a floor of its own; older lines are below the lowest, newer ones above all.
  const line = triples.find(([, floor]) => floor !== undefined && floor[0] === own[0] && floor[1] === own[1]) ?? triples[0];
  const [text, floor] = line ?? [];
  return text !== undefined && floor !== undefined && compare(own, floor) < 0 ? text : undefined;
}

/** `name@version`, as an operator accepts an engine below its floor. */
export function engineKey({ name, version }: EngineVersion): string {
  return `${name}@${parse(version)?.join(".") ?? version}`;
}

/** Which profiles containers of these engines are good enough for, and what is to be said of them. */
export function judgeEngines(
  engines: readonly EngineVersion[],
  accepted: readonly string[],
): { readonly profiles: readonly SecurityProfile[]; readonly notes: readonly string[] } {
  const old = engines.flatMap((engine) => {
    const floor = floorAbove(engine);
    return floor === undefined ? [] : [{ key: engineKey(engine), floor }];
  });
  const isRefused = (key: string): boolean => !accepted.includes(key);
  return {
    profiles: old.some(({ key }) => isRefused(key)) ? ["dev"] : ["dev", "standard"],
    notes: old.map(({ key, floor }) =>
      isRefused(key)
        ? `belowFloor: ${key} has known ways out, the oldest good version is ${floor}; profile "standard" is refused unless "acceptEngines" names it`
        : `belowFloor: ${key} is accepted by the operator, the oldest good version is ${floor}`,
    ),
  };
}
