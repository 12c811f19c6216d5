import type { z } from "zod";
import { didYouMean } from "./nearest.ts";

export interface Problem {
  /** JSON Pointer (RFC 6901) into the value; empty for the whole. */
  readonly path: string;
  readonly message: string;
}

type Shape = Readonly<Record<string, unknown>>;

/** The keys that the schema knows at a path, as far as its objects tell. */
function knownKeys(schema: unknown, path: readonly PropertyKey[]): readonly string[] {
  let current: unknown = schema;
  for (const step of path) current = shapeOf(current)?.[String(step)];
  return Object.keys(shapeOf(current) ?? {});
}

function shapeOf(schema: unknown): Shape | undefined {
  if (typeof schema !== "object" || schema === null) return undefined;
  if ("shape" in schema && typeof schema.shape === "object" && schema.shape !== null) return { ...schema.shape };
  if ("unwrap" in schema && typeof schema.unwrap === "function") return shapeOf(schema.unwrap());
  return undefined;
}

/** What a zod error says, as paths and sentences; an unknown key names the nearest known one. */
export function problemsOf(schema: z.ZodType, error: z.ZodError): Problem[] {
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
