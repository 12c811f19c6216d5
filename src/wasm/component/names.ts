import { BinaryError } from "../binary.ts";

/**
 * jco 1.35 writes the names that it finds in a component into JavaScript between quotation marks without escaping them
 * (threat: a component whose core module exports `a'];…//` runs its own code in the service). So each name has to be one
 * that means the same inside and outside a string literal.
 */
const corePattern = /^[ !#-&(-[\]-_a-~]*$/;
const externPattern = /^[A-Za-z0-9@:/._+[\]-]+$/;
/** As a key of an object literal it would set the prototype. */
const prototypeKey = "__proto__";

/** Checks a name of a core module: any printable ASCII but quotation marks, backslash and backtick. @throws BinaryError. */
export function checkCoreName(name: string): string {
  if (corePattern.test(name) && name !== prototypeKey) return name;
  throw new BinaryError(`uses the name ${JSON.stringify(name.slice(0, 100))}, which is not accepted in a component`);
}

/** Checks a name of a component: an import, an export, a label. @throws BinaryError. */
export function checkExternName(name: string): string {
  if (externPattern.test(name) && name !== prototypeKey) return name;
  throw new BinaryError(`uses the name ${JSON.stringify(name.slice(0, 100))}, which is not accepted in a component`);
}
