import type { Plan } from "../backend.ts";
import { seededRandom } from "./seeded-random.ts";
import { systemClock, type Clock } from "./wasi/clock.ts";

/** What differs from run to run: what a guest tells the time by, and what its random numbers come of. */
export interface Surroundings {
  /** @param used the fuel that the run has used until now */
  readonly clockFor: (used: () => number) => GuestClock;
  /** Fills the target with random bytes; the host's own unless given. */
  readonly random?: (target: Uint8Array<ArrayBuffer>) => void;
  /** The time stamp of the files that the host adds; now unless given. */
  readonly fileTimeNs?: bigint;
}

export interface GuestClock extends Clock {
  /** Where it is there, a guest that sleeps does not wait: its clock is put forward. */
  readonly skip?: (milliseconds: number) => void;
}

const stepNs = 1_000_000n;

/**
 * The host's clocks in steps of a millisecond: with finer ones a guest can tell by the time of its own loads what others left
 * in the processor's caches (threat: Spectre and its kin). It makes that slow, not impossible: a guest can count by itself.
 */
const coarseClock: Clock = Object.freeze({
  realtimeNs: () => BigInt(Date.now()) * 1_000_000n,
  monotonicNs: () => BigInt(Math.floor(performance.now())) * stepNs,
  resolutionNs: stepNs,
});

const system: Surroundings = Object.freeze({ clockFor: () => systemClock });
const hardened: Surroundings = Object.freeze({ clockFor: () => coarseClock });

/** Shows a time that the task names; a unit of fuel is a nanosecond, and a sleep takes what it asks for, at once. */
class FixedClock implements GuestClock {
  readonly resolutionNs = 1n;
  readonly #startNs: bigint;
  readonly #used: () => number;
  #sleptNs = 0n;

  constructor(startNs: bigint, used: () => number) {
    this.#startNs = startNs;
    this.#used = used;
  }

  realtimeNs(): bigint {
    return this.#startNs + this.monotonicNs();
  }

  monotonicNs(): bigint {
    return BigInt(this.#used()) + this.#sleptNs;
  }

  readonly skip = (milliseconds: number): void => {
    this.#sleptNs += BigInt(Math.ceil(milliseconds)) * 1_000_000n;
  };
}

/** What a run under this plan sees of the world. */
export function surroundingsOf({ deterministic, profile }: Pick<Plan, "deterministic" | "profile">): Surroundings | Promise<Surroundings> {
  if (deterministic === undefined) return profile === "hardened" ? hardened : system;
  const { seed, nowMs } = deterministic;
  const startNs = BigInt(nowMs) * 1_000_000n;
  return seededRandom(seed).then((random) => ({ random, fileTimeNs: startNs, clockFor: (used) => new FixedClock(startNs, used) }));
}
