import { BinaryError, encodeName, layerOf, readSections, sectionIds } from "../binary.ts";
import { extismNamespace } from "./host-functions.ts";

const wanted = Uint8Array.from(encodeName(extismNamespace));

/** Whether a module names Extism's host among its imports. A guess for manifests that do not say; ingest decides. */
export function looksLikeExtism(bytes: Uint8Array): boolean {
  if (layerOf(bytes) !== "module") return false;
  try {
    return readSections(bytes).some(({ id, start, end }) => id === sectionIds.import && contains(bytes.subarray(start, end)));
  } catch (error) {
    if (error instanceof BinaryError) return false;
    throw error;
  }
}

function contains(section: Uint8Array): boolean {
  for (let at = section.indexOf(wanted[0] ?? 0); at !== -1; at = section.indexOf(wanted[0] ?? 0, at + 1)) {
    if (wanted.every((byte, index) => section[at + index] === byte)) return true;
  }
  return false;
}
