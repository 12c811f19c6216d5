import { ToolRuntimeError } from "../../errors.ts";
import { didYouMean } from "../../internal/nearest.ts";
import type { WorkerEnv } from "./bindings.ts";

export function configError(name: string, problem: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot use the worker's variable "${name}": ${problem}`, {
    details: { variable: name, problem },
  });
}

/** A variable or secret as text; one that is empty is none. */
export function textOf(env: WorkerEnv, name: string): string | undefined {
  const value = env[name];
  if (value === undefined || value === "") return undefined;
  if (typeof value !== "string") throw configError(name, "it must be text");
  return value;
}

export type Entry = Readonly<Record<string, unknown>>;

/** A variable as JSON; nothing where it is not set. */
export function jsonOf(env: WorkerEnv, name: string): unknown {
  const text = textOf(env, name);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // What the parser says would quote a piece of a secret.
    throw configError(name, "it is not JSON");
  }
}

/** An object with these keys and no others. */
export function entryOf(
  name: string,
  value: unknown,
  { keys, at = "" }: { readonly keys: readonly string[]; readonly at?: string },
): Entry {
  const where = at === "" ? "" : `${at}: `;
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw configError(name, `${at === "" ? "it" : at} must be an object`);
  const unknown = Object.keys(value).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw configError(name, `${where}unknown key ${JSON.stringify(unknown)}${didYouMean(unknown, keys)}`);
  return { ...value };
}

/** A list of such objects. */
export function listOf(env: WorkerEnv, name: string, keys: readonly string[]): readonly Entry[] {
  const value = jsonOf(env, name);
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw configError(name, "it must be a JSON list");
  return value.map((entry: unknown, index) => entryOf(name, entry, { keys, at: `/${index}` }));
}

export function textIn(name: string, entry: Entry, { key, at = "" }: { readonly key: string; readonly at?: string }): string {
  const value = entry[key];
  if (typeof value === "string" && value.length > 0) return value;
  throw configError(name, `${at}/${key} must be text`);
}
