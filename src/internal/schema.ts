import { dereference, Validator, type Schema } from "@cfworker/json-schema";

type JsonSchema = Schema | boolean;

interface Rule {
  readonly holds: (value: unknown) => boolean;
  readonly wants: string;
}

const typeNames: ReadonlySet<unknown> = new Set(["null", "boolean", "object", "array", "number", "string", "integer"]);

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPattern(value: unknown): boolean {
  if (typeof value !== "string") return false;
  try {
    return new RegExp(value, "u") instanceof RegExp;
  } catch {
    return false;
  }
}

const isText = (value: unknown): boolean => typeof value === "string";
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
const isCount = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0;
const isType = (value: unknown): boolean => typeNames.has(value);

const schema: Rule = { holds: (value) => typeof value === "boolean" || isRecord(value), wants: "a schema" };
const schemas: Rule = {
  holds: (value) => Array.isArray(value) && value.length > 0 && value.every(schema.holds),
  wants: "schemas in a list",
};
const schemaMap: Rule = { holds: (value) => isRecord(value) && Object.values(value).every(schema.holds), wants: "schemas by name" };
const text: Rule = { holds: isText, wants: "a string" };
const texts: Rule = { holds: isTexts, wants: "strings in a list" };
const count: Rule = { holds: isCount, wants: "a whole number, not below zero" };
const number: Rule = { holds: (value) => typeof value === "number", wants: "a number" };
const flag: Rule = { holds: (value) => typeof value === "boolean", wants: "true or false" };
const pattern: Rule = { holds: isPattern, wants: "a regular expression" };

const type: Rule = {
  holds: (value) => isType(value) || (Array.isArray(value) && value.length > 0 && value.every(isType)),
  wants: `one of ${[...typeNames].join(", ")}, or several of them in a list`,
};
const list: Rule = { holds: Array.isArray, wants: "values in a list" };
const factor: Rule = { holds: (value) => typeof value === "number" && value > 0, wants: "a number above zero" };
const patternMap: Rule = {
  holds: (value) => schemaMap.holds(value) && isRecord(value) && Object.keys(value).every(isPattern),
  wants: "schemas by regular expression",
};
const textsMap: Rule = { holds: (value) => isRecord(value) && Object.values(value).every(isTexts), wants: "lists of strings by name" };

/** What each keyword takes (JSON Schema 2020-12, core and validation). Keywords that are not here are annotations. */
const keywords: readonly (readonly [Rule, readonly string[]])[] = [
  [schema, ["additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"]],
  [schema, ["unevaluatedItems", "unevaluatedProperties"]],
  [schemas, ["allOf", "anyOf", "oneOf", "prefixItems"]],
  [schemaMap, ["$defs", "definitions", "dependentSchemas", "properties"]],
  [patternMap, ["patternProperties"]],
  [text, ["$anchor", "$id", "$ref", "$schema", "format"]],
  [texts, ["required"]],
  [textsMap, ["dependentRequired"]],
  [type, ["type"]],
  [list, ["enum"]],
  [pattern, ["pattern"]],
  [flag, ["uniqueItems"]],
  [factor, ["multipleOf"]],
  [number, ["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum"]],
  [count, ["maxContains", "maxItems", "maxLength", "maxProperties", "minContains", "minItems", "minLength", "minProperties"]],
];
const rules: ReadonlyMap<string, Rule> = new Map(keywords.flatMap(([rule, names]) => names.map((name) => [name, rule] as const)));

/** The schemas inside a schema, by their place. */
function subSchemas(keyword: string, value: unknown): readonly (readonly [string, unknown])[] {
  const rule = rules.get(keyword);
  if (rule === schema) return [[keyword, value]];
  if (Array.isArray(value)) return rule === schemas ? value.map((item, index) => [`${keyword}/${index}`, item]) : [];
  if (!isRecord(value) || (rule !== schemaMap && rule !== patternMap)) return [];
  return Object.entries(value).map(([name, item]) => [`${keyword}/${name}`, item]);
}

/** Says which keyword cannot be used, or nothing. */
function findMisuse(root: JsonSchema): string | undefined {
  const pending: (readonly [string, unknown])[] = [["", root]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [place, value] = next;
    if (!isRecord(value)) continue;
    for (const [keyword, argument] of Object.entries(value)) {
      const rule = rules.get(keyword);
      if (rule === undefined) continue;
      if (!rule.holds(argument)) return `${place}/${keyword} takes ${rule.wants}`;
      for (const [inner, sub] of subSchemas(keyword, argument)) pending.push([`${place}/${inner}`, sub]);
    }
  }
  return undefined;
}

/** Says which reference leads nowhere, or nothing. Only what is in the schema itself can be referred to. */
function findDangling(root: JsonSchema): string | undefined {
  const known = dereference(root);
  for (const one of Object.values(known)) {
    if (typeof one === "boolean" || one.__absolute_ref__ === undefined) continue;
    if (known[one.__absolute_ref__] === undefined) return `the $ref ${JSON.stringify(one.$ref)} leads nowhere`;
  }
  return undefined;
}

/**
 * Compiles a JSON Schema 2020-12. The function that comes back says where a value does not fit, or nothing.
 *
 * @throws Error where the schema is none, or refers to what is not in it. What comes back throws where a schema refers
 * to itself without end.
 */
export function compileSchema(source: JsonSchema): (value: unknown) => string | undefined {
  const misuse = findMisuse(source);
  if (misuse !== undefined) throw new Error(misuse);
  // The validator marks the schema that it is given, so it gets one of its own.
  const own = structuredClone(source);
  const dangling = findDangling(own);
  if (dangling !== undefined) throw new Error(dangling);
  const validator = new Validator(own, "2020-12", true);
  return (value) => {
    const { valid, errors } = validator.validate(value);
    if (valid) return undefined;
    // The last error is the innermost one; those before it say only that an outer keyword failed because of it.
    const inner = errors.at(-1);
    if (inner === undefined) return "does not fit the schema";
    const isRefused = inner.keyword === "false";
    return `${inner.instanceLocation.replace(/^#/, "") || "/"}: ${isRefused ? "is not a property that the schema allows" : inner.error}`;
  };
}
