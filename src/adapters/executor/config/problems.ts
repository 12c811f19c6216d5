import type { z } from "zod";
import { didYouMean } from "../../../internal/nearest.ts";
import { knownKeys } from "../../../internal/zod-problem.ts";
import type { configSchema } from "./schema.ts";

type Issue = z.core.$ZodIssue;

/** One thing that is wrong, as whoever writes configurations says it. */
export interface ConfigProblem {
  readonly path: readonly PropertyKey[];
  /** `backends.wasm.maxArtifactBytes must be above 0`. */
  readonly sentence: string;
}

/** `tokens[0].file`. */
export function keyOf(path: readonly PropertyKey[]): string {
  return path.map((step, index) => (typeof step === "number" ? `[${step}]` : `${index === 0 ? "" : "."}${String(step)}`)).join("");
}

const names: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "a string",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

/** What is wrong with a configuration. An unknown key comes with the nearest known one. */
export function problemsOf(schema: typeof configSchema, error: z.core.$ZodError): ConfigProblem[] {
  return error.issues.flatMap((issue): ConfigProblem[] => {
    if (issue.code !== "unrecognized_keys") return [{ path: issue.path, sentence: sentenceOf(issue) }];
    const known = knownKeys(schema, issue.path);
    return issue.keys.map((key) => {
      const where = issue.path.length === 0 ? "" : `${keyOf(issue.path)} has the `;
      return { path: [...issue.path, key], sentence: `${where}unknown key ${JSON.stringify(key)}${didYouMean(key, known)}` };
    });
  });
}

function sentenceOf(issue: Issue): string {
  const key = issue.path.length === 0 ? "it" : keyOf(issue.path);
  if (issue.message.startsWith("must ")) return `${key} ${issue.message}`;
  if (issue.code === "invalid_type")
    return isMissing(issue) ? `${key} is missing` : `${key} must be ${names[issue.expected] ?? issue.expected}`;
  if (issue.code === "too_small")
    return `${key} must ${bound(issue.origin, issue.inclusive === false ? "above" : "at least", issue.minimum)}`;
  if (issue.code === "too_big") return `${key} must ${bound(issue.origin, issue.inclusive === false ? "below" : "at most", issue.maximum)}`;
  if (issue.code === "invalid_value") return `${key} must be ${issue.values.map((value) => JSON.stringify(value)).join(" or ")}`;
  if (issue.code === "invalid_format") return `${key} must be ${issue.format === "url" ? "a url" : `a ${issue.format}`}`;
  return `${key}: ${issue.message}`;
}

/** A member that is not there is reported as one of another type. */
function isMissing({ message }: Issue): boolean {
  return message.endsWith("received undefined");
}

function bound(origin: string, relation: string, value: number | bigint): string {
  if (origin !== "number" && relation === "at least" && Number(value) === 1) return "not be empty";
  if (origin === "string") return `have ${relation} ${value} characters`;
  if (origin === "array") return `have ${relation} ${value} entries`;
  return `be ${relation} ${value}`;
}
