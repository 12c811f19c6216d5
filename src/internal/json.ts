import { jsonErrorAt } from "./json-syntax.ts";

/** JSON text and values from strangers: bounded depth, no numbers that JSON cannot say, no key twice. */

/** Deeper values are refused: recursive readers further on would exhaust the stack (ABUSE C3). */
export const maxJsonDepth = 256;
const tooDeep = `nested deeper than ${maxJsonDepth} levels`;

export interface JsonRules {
  /** Refuse `__proto__` and `constructor` with `prototype`, which a careless merge would follow (ABUSE C4). */
  readonly refusesPrototypeKeys: boolean;
}

interface Census {
  /** What is wrong, or nothing. */
  readonly problem?: string;
  /** How many object members the value has in all. */
  readonly members: number;
}

/** Looks at every part of a JSON value without recursion. */
function survey(root: unknown, rules: JsonRules): Census {
  let members = 0;
  let level: unknown[] = [root];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxJsonDepth) return { problem: tooDeep, members };
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value === "string" || typeof value === "boolean" || value === null) continue;
      if (typeof value === "number") {
        if (!Number.isFinite(value)) return { problem: "a number that is not finite", members };
      } else if (Array.isArray(value)) {
        for (const item of value) next.push(item);
      } else if (typeof value === "object") {
        const keys = Object.keys(value);
        members += keys.length;
        if (rules.refusesPrototypeKeys && hasPrototypeKey(value, keys)) {
          return { problem: 'the key "__proto__" or "constructor.prototype"', members };
        }
        for (const item of Object.values(value)) if (item !== undefined) next.push(item);
      } else {
        return { problem: `a ${typeof value}, which JSON cannot say`, members };
      }
    }
    level = next;
  }
  return { members };
}

function hasPrototypeKey(value: object, keys: readonly string[]): boolean {
  for (const key of keys) {
    if (key === "__proto__") return true;
    if (key === "constructor") {
      const inner: unknown = Object.getOwnPropertyDescriptor(value, key)?.value;
      if (typeof inner === "object" && inner !== null && Object.hasOwn(inner, "prototype")) return true;
    }
  }
  return false;
}

export type EncodedJson = { readonly text: string } | { readonly problem: string };

/**
 * Writes a value as JSON text. A `toJSON`, a getter or an `undefined` makes the text say something else than the value:
 * whoever checks further must read the text.
 */
export function encodeJson(value: unknown, rules: JsonRules): EncodedJson {
  let text: string | undefined;
  try {
    // Before the survey, which would follow a cycle for ever.
    text = JSON.stringify(value);
  } catch (error) {
    return { problem: error instanceof RangeError ? "nested too deep, or too long" : "a cycle, or a value that JSON cannot say" };
  }
  if (text === undefined) return { problem: `a ${typeof value}, which JSON cannot say` };
  const { problem } = survey(value, rules);
  return problem === undefined ? { text } : { problem };
}

const quote = 0x22;
const colon = 0x3a;
const backslash = 0x5c;

/** How many members the objects of a JSON text name: the colons outside of its strings. */
function countMembers(text: string): number {
  let count = 0;
  let isInString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) isInString = !isInString;
    else if (!isInString) count += code === colon ? 1 : 0;
    else if (code === backslash) at++;
  }
  return count;
}

export type ParsedJson = { readonly value: unknown } | { readonly problem: string };

/**
 * Reads JSON text. Besides what `JSON.parse` refuses: too deep, numbers beyond the finite (`1e999`), and a key that
 * stands twice in one object, where two readers would disagree about the value (RFC 8259 §4).
 */
export function parseJson(text: string, rules: JsonRules): ParsedJson {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Engines quote the text in their message, which may be secret or hostile: keep where, leave what.
    const at = jsonErrorAt(text);
    // Some have no stack for what others read.
    return { problem: at === undefined ? tooDeep : `not JSON at position ${at}` };
  }
  const census = survey(value, rules);
  if (census.problem !== undefined) return { problem: census.problem };
  if (census.members > 0 && countMembers(text) !== census.members) return { problem: "a key that stands twice in one object" };
  return { value };
}

/** Canonical JSON for digests: keys sorted by UTF-16 code units, as RFC 8785 §3.2.3 has it. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`);
  return `{${members.join(",")}}`;
}
