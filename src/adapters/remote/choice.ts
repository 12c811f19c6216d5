import type { LoadMeter } from "./load.ts";

/** A node that could take a run. */
export interface Choosable {
  readonly peer: { readonly load: LoadMeter };
  /** Nodes of a lower tier come first. */
  readonly tier: number;
}

/** A number from 0 up to 1, as `Math.random` gives it. */
export type Random = () => number;

function pickIndex(random: Random, length: number): number {
  return Math.min(length - 1, Math.floor(random() * length));
}

/** Whether the first is at most as busy as the second. Where one of them does not say, what was sent from here decides. */
function isLessBusy({ load: a }: Choosable["peer"], { load: b }: Choosable["peer"]): boolean {
  const [shareA, shareB] = [a.share, b.share];
  return shareA === undefined || shareB === undefined ? a.outstanding <= b.outstanding : shareA <= shareB;
}

/**
 * The next node for a run: of two drawn at random from the lowest tier, the less busy one. Two draws avoid both the worst
 * nodes and the herd that follows one best node (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing").
 */
export function choose<C extends Choosable>(candidates: readonly C[], random: Random): C | undefined {
  const lowest = Math.min(...candidates.map(({ tier }) => tier));
  const tier = candidates.filter((one) => one.tier === lowest);
  const first = pickIndex(random, tier.length);
  const one = tier[first];
  if (one === undefined || tier.length === 1) return one;
  // Drawn from the others, so that the two are never the same.
  const drawn = pickIndex(random, tier.length - 1);
  const other = tier[drawn < first ? drawn : drawn + 1];
  return other === undefined || isLessBusy(one.peer, other.peer) ? one : other;
}
