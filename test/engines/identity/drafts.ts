import type { ExecutionRequest } from "../../../src/wire.ts";
import type { Random } from "./random.ts";

/** One request to `POST /v1/executions`. */
export interface Draft {
  /** As text where it is no request that the types let through. */
  readonly body: ExecutionRequest | string;
}

export interface Case extends Draft {
  readonly name: string;
  /** Whether its answer is asked for as events. */
  readonly streams: boolean;
}

/** Tasks whose clocks and random bytes are fixed show their fuel without a limit on it. */
export function fixed(random: Random): Pick<ExecutionRequest, "deterministic"> {
  const seed = random.pick<string | number>([random.below(1000), random.word(), "seed"]);
  const now = random.pick<string | number>(["2026-01-31T12:00:00Z", random.below(2 ** 31) * 100, "1970-01-01", 253_402_300_799_999]);
  return { deterministic: { seed, now } };
}
