import { scopes, type Scope } from "../auth.ts";
import type { WorkerEnv } from "./bindings.ts";
import { configError, entryOf, jsonOf, textIn, type Entry } from "./variables.ts";

export const keysName = "TOOLRUNTIME_KEYS";
export const signingName = "TOOLRUNTIME_SIGNING";

/** Who may sign; the keys are read by what checks signatures, which is loaded where there are some. */
export interface KeysVariable {
  readonly keys: readonly unknown[];
  readonly issuers: readonly { readonly name: string; readonly tenants?: readonly string[]; readonly scopes?: readonly Scope[] }[];
  readonly audience: readonly string[];
}

export interface SigningVariable {
  readonly key: unknown;
  readonly issuer?: string;
  readonly subject: string;
  readonly tenant?: string;
  readonly scopes?: readonly Scope[];
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length > 0;
}

function isScope(value: unknown): value is Scope {
  return scopes.some((scope) => scope === value);
}

/** A list of at least one, or nothing where the key is not there. */
function listIn<T>(
  name: string,
  entry: Entry,
  { key, at, is, what }: { key: string; at: string; is: (value: unknown) => value is T; what: string },
): T[] | undefined {
  const value = entry[key];
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.length > 0 && value.every(is)) return value;
  throw configError(name, `${at}/${key} must be a list of ${what}`);
}

function scopesIn(name: string, entry: Entry, at: string): { readonly scopes?: Scope[] } {
  const found = listIn(name, entry, { key: "scopes", at, is: isScope, what: scopes.join(", ") });
  return found === undefined ? {} : { scopes: found };
}

/** @throws `ERR_CONFIG_INVALID`. */
export function keysOf(env: WorkerEnv): KeysVariable | undefined {
  const value = jsonOf(env, keysName);
  if (value === undefined) return undefined;
  const entry = entryOf(keysName, value, { keys: ["keys", "issuers", "audience"] });
  const { keys, issuers, audience } = entry;
  if (!Array.isArray(keys) || keys.length === 0) throw configError(keysName, "/keys must be a list of public keys (JWK)");
  if (!Array.isArray(issuers) || issuers.length === 0)
    throw configError(keysName, "/issuers must be a list of { name, tenants?, scopes? }");
  const names = isText(audience) ? [audience] : listIn(keysName, entry, { key: "audience", at: "", is: isText, what: "names" });
  if (names === undefined) throw configError(keysName, "/audience must be what callers call the worker: a name or url, or several");
  return { keys, audience: names, issuers: issuers.map((issuer: unknown, index) => issuerOf(issuer, `/issuers/${index}`)) };
}

function issuerOf(value: unknown, at: string): KeysVariable["issuers"][number] {
  const issuer = entryOf(keysName, value, { keys: ["name", "tenants", "scopes"], at });
  const tenants = listIn(keysName, issuer, { key: "tenants", at, is: isText, what: "names" });
  const name = textIn(keysName, issuer, { key: "name", at });
  return { name, ...(tenants === undefined ? {} : { tenants }), ...scopesIn(keysName, issuer, at) };
}

/** @throws `ERR_CONFIG_INVALID`. */
export function signingOf(env: WorkerEnv): SigningVariable | undefined {
  const value = jsonOf(env, signingName);
  if (value === undefined) return undefined;
  const entry = entryOf(signingName, value, { keys: ["key", "issuer", "subject", "tenant", "scopes"] });
  return {
    key: entry["key"],
    subject: textIn(signingName, entry, { key: "subject" }),
    ...("issuer" in entry ? { issuer: textIn(signingName, entry, { key: "issuer" }) } : {}),
    ...("tenant" in entry ? { tenant: textIn(signingName, entry, { key: "tenant" }) } : {}),
    ...scopesIn(signingName, entry, ""),
  };
}
