/** What time it is for the guest. */
export interface Clock {
  /** Nanoseconds since 1970. */
  realtimeNs(): bigint;
  /** Nanoseconds since any fixed moment; must never go back. */
  monotonicNs(): bigint;
  /** What `clock_res_get` answers, for every clock. */
  readonly resolutionNs: bigint;
}

/** The host's own clocks: milliseconds of `Date.now`, and what `performance.now` gives. */
export const systemClock: Clock = Object.freeze({
  realtimeNs: () => BigInt(Date.now()) * 1_000_000n,
  monotonicNs: () => BigInt(Math.floor(performance.now() * 1000)) * 1000n,
  resolutionNs: 1_000_000n,
});
