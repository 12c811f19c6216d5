import type * as core from "zod/v4/core";
import { en } from "zod/v4/locales";
import { didYouMean } from "./nearest.ts";

export interface Problem {
  /** JSON Pointer (RFC 6901) into the value; empty for the whole. */
  readonly path: string;
  readonly message: string;
}

/** To be parsed with: zod's small variant brings no sentences of its own. */
export const inEnglish: core.ParseContext<core.$ZodIssue> = { error: (issue) => en().localeError(issue) };

type Shape = Readonly<Record<string, unknown>>;

/** The keys that the schema knows at a path, as far as its objects tell. */
export function knownKeys(schema: unknown, path: readonly PropertyKey[]): readonly string[] {
  let current: unknown = schema;
  for (const step of path) current = memberOf(current, step);
  return Object.keys(shapeOf(current) ?? {});
}

function isRecord(value: unknown): value is Shape {
  return typeof value === "object" && value !== null;
}

/** What zod knows of a schema. The same for all its variants. */
function definitionOf(schema: unknown): Shape | undefined {
  return isRecord(schema) && isRecord(schema["_zod"]) && isRecord(schema["_zod"]["def"]) ? schema["_zod"]["def"] : undefined;
}

/** The shape of an object's schema, whatever is wrapped around it. */
function shapeOf(schema: unknown): Shape | undefined {
  const definition = definitionOf(schema);
  if (definition === undefined) return undefined;
  const { shape, innerType } = definition;
  return isRecord(shape) ? { ...shape } : shapeOf(innerType);
}

/** The schema of an object's member, of a list's entries or of a record's values. */
function memberOf(schema: unknown, step: PropertyKey): unknown {
  const definition = definitionOf(schema);
  if (definition === undefined) return undefined;
  const { shape, element, valueType, innerType } = definition;
  return (isRecord(shape) ? shape[String(step)] : (element ?? valueType)) ?? memberOf(innerType, step);
}

/** What a zod error says, as paths and sentences; an unknown key names the nearest known one. */
export function problemsOf(schema: core.$ZodType, error: core.$ZodError): Problem[] {
  return error.issues.map((issue) => {
    const path = issue.path.map((step) => `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
    if (issue.code !== "unrecognized_keys") return { path, message: issue.message };
    const known = knownKeys(schema, issue.path);
    const keys = issue.keys.map((key) => `unknown key ${JSON.stringify(key)}${didYouMean(key, known)}`);
    return { path, message: keys.join(", ") };
  });
}

/** One line for people: `/resources: unknown key "memroy"; did you mean "memory"?` */
export function formatProblems(problems: readonly Problem[]): string {
  return problems.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ");
}
