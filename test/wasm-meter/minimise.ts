/**
 * Makes a list of decisions smaller, as long as what they make is still bad: parts are taken out, the largest first, and
 * numbers are made zero or halved.
 */
export function minimise(
  decisions: readonly number[],
  isBad: (decisions: readonly number[]) => boolean,
  mostTries = 3000,
): readonly number[] {
  let best = decisions;
  let left = mostTries;
  const attempt = (candidate: readonly number[]): boolean => {
    if (left-- <= 0 || !isBad(candidate)) return false;
    best = candidate;
    return true;
  };
  for (let before = Number.POSITIVE_INFINITY; weight(best) < before && left > 0;) {
    before = weight(best);
    for (let size = 2 ** Math.floor(Math.log2(Math.max(1, best.length))); size >= 1; size >>= 1) {
      for (let at = 0; at < best.length && left > 0;) {
        if (attempt([...best.slice(0, at), ...best.slice(at + size)])) continue;
        if (
          best.slice(at, at + size).some((one) => one !== 0) &&
          !attempt(best.map((one, index) => (index >= at && index < at + size ? 0 : one)))
        ) {
          const value = best[at] ?? 0;
          if (size === 1 && value > 1) attempt(best.with(at, value >> 1));
        }
        at += size;
      }
    }
  }
  return best;
}

function weight(decisions: readonly number[]): number {
  return decisions.length + decisions.filter((one) => one !== 0).length;
}
