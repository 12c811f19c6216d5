import { closest, distance } from "fastest-levenshtein";

/** The known name that a mistyped one most likely means, or nothing where none is near. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  // The cost grows with the product of the lengths, and a stranger may have chosen the name.
  if (known.length === 0 || name.length > 100) return undefined;
  const best = closest(name, [...known]);
  return distance(name, best) <= Math.max(2, Math.floor(best.length / 3)) ? best : undefined;
}

/** `; did you mean "timeout"?`, or an empty string. */
export function didYouMean(name: string, known: readonly string[]): string {
  const best = nearest(name, known);
  return best === undefined ? "" : `; did you mean "${best}"?`;
}
