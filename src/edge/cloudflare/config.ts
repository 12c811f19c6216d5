import { ToolRuntimeError } from "../../errors.ts";
import { didYouMean } from "../../internal/nearest.ts";
import { securityProfiles, type SecurityProfile } from "../../profile.ts";
import { scopes, type BearerToken, type Scope } from "../auth.ts";
import type { WorkerEnv } from "./bindings.ts";

/** An executor node that tasks may be forwarded to. */
export interface NodeAddress {
  readonly url: string;
  readonly token: string;
}

/** What a worker is told by its variables and secrets. */
export interface WorkerConfig {
  readonly security: SecurityProfile;
  readonly tokens: readonly BearerToken[];
  readonly nodes: readonly NodeAddress[];
  readonly origins: readonly string[];
  /** The values of Host that are answered; `"any"`: those that the platform routes here. */
  readonly hosts: readonly string[] | "any";
}

function configError(name: string, problem: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot use the worker's variable "${name}": ${problem}`, {
    details: { variable: name, problem },
  });
}

/** A variable or secret as text; one that is empty is none. */
function textOf(env: WorkerEnv, name: string): string | undefined {
  const value = env[name];
  if (value === undefined || value === "") return undefined;
  if (typeof value !== "string") throw configError(name, "it must be text");
  return value;
}

type Entry = Readonly<Record<string, unknown>>;

/** A list of objects with these keys and no others. */
function listOf(env: WorkerEnv, name: string, keys: readonly string[]): readonly Entry[] {
  const text = textOf(env, name);
  if (text === undefined) return [];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // What the parser says would quote a piece of a secret.
    throw configError(name, "it is not JSON");
  }
  if (!Array.isArray(value)) throw configError(name, "it must be a JSON list");
  return value.map((entry: unknown, index) => {
    if (typeof entry !== "object" || entry === null || Array.isArray(entry)) throw configError(name, `/${index} must be an object`);
    const unknown = Object.keys(entry).find((key) => !keys.includes(key));
    if (unknown !== undefined) throw configError(name, `/${index}: unknown key ${JSON.stringify(unknown)}${didYouMean(unknown, keys)}`);
    return { ...entry };
  });
}

function textIn(name: string, index: number, entry: Entry, key: string): string {
  const value = entry[key];
  if (typeof value === "string" && value.length > 0) return value;
  throw configError(name, `/${index}/${key} must be text`);
}

/** RFC 6750 §2.1, and long enough not to be guessed. */
const tokenPattern = /^[A-Za-z0-9._~+/-]{16,}=*$/;
const tokensName = "TOOLRUNTIME_TOKENS";

function isScope(value: unknown): value is Scope {
  return scopes.some((scope) => scope === value);
}

function tokenOf(env: WorkerEnv, entry: Entry, index: number): BearerToken {
  if ("token" in entry === "env" in entry) throw configError(tokensName, `/${index} must have exactly one of token and env`);
  const source = "env" in entry ? textIn(tokensName, index, entry, "env") : undefined;
  const token = source === undefined ? textIn(tokensName, index, entry, "token") : textOf(env, source);
  if (token === undefined) throw configError(tokensName, `/${index}: the secret "${source}" is not set`);
  if (!tokenPattern.test(token)) {
    throw configError(
      tokensName,
      `/${index}: a token is at least 16 characters, letters, digits and . _ ~ + / - (openssl rand -hex 32 makes one)`,
    );
  }
  const { scopes: some } = entry;
  if (some !== undefined && !(Array.isArray(some) && some.length > 0 && some.every(isScope)))
    throw configError(tokensName, `/${index}/scopes must be a list of ${scopes.join(", ")}`);
  return {
    token,
    principal: textIn(tokensName, index, entry, "principal"),
    tenant: entry["tenant"] === undefined ? "default" : textIn(tokensName, index, entry, "tenant"),
    ...(some === undefined ? {} : { scopes: some.filter(isScope) }),
  };
}

const nodesName = "TOOLRUNTIME_NODES";

function nodeOf(env: WorkerEnv, entry: Entry, index: number): NodeAddress {
  const url = textIn(nodesName, index, entry, "url");
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw configError(nodesName, `/${index}/url must be an http or https address`);
  if ("token" in entry === "env" in entry) throw configError(nodesName, `/${index} must have exactly one of token and env`);
  const source = "env" in entry ? textIn(nodesName, index, entry, "env") : undefined;
  const token = source === undefined ? textIn(nodesName, index, entry, "token") : textOf(env, source);
  if (token === undefined) throw configError(nodesName, `/${index}: the secret "${source}" is not set`);
  return { url, token };
}

function securityOf(env: WorkerEnv): SecurityProfile {
  const text = textOf(env, "TOOLRUNTIME_SECURITY") ?? "standard";
  const found = securityProfiles.find((name) => name === text);
  if (found === undefined)
    throw configError("TOOLRUNTIME_SECURITY", `the profiles are ${securityProfiles.join(", ")}${didYouMean(text, securityProfiles)}`);
  return found;
}

function namesOf(env: WorkerEnv, name: string): string[] {
  return (textOf(env, name) ?? "").split(",").flatMap((part) => (part.trim() === "" ? [] : [part.trim()]));
}

/** The names by which a worker on one's own machine is called, and never one on the platform's. */
const loopbackHosts = ["localhost", "127.0.0.1", "[::1]"];

/**
 * Reads the worker's variables and secrets:
 *
 * - `TOOLRUNTIME_SECURITY`: the profile; default `standard`.
 * - `TOOLRUNTIME_TOKENS` (secret): who may call, as the `tokens` of a node's configuration: a JSON list of
 *   `{ token | env, principal, tenant?, scopes? }`, where `env` names another secret.
 * - `TOOLRUNTIME_NODES` (secret): executor nodes behind the worker, a JSON list of `{ url, token | env }`.
 * - `TOOLRUNTIME_ORIGINS`: other sites whose pages may call, with commas between them.
 *
 * Without tokens only profile `dev` is served, and only to those who call it by a name of the own machine.
 *
 * @throws `ERR_CONFIG_INVALID`, which names the variable and never says what it holds.
 */
export function readConfig(env: WorkerEnv): WorkerConfig {
  const security = securityOf(env);
  const tokens = listOf(env, tokensName, ["token", "env", "principal", "tenant", "scopes"]).map((entry, index) =>
    tokenOf(env, entry, index),
  );
  const nodes = listOf(env, nodesName, ["url", "token", "env"]).map((entry, index) => nodeOf(env, entry, index));
  if (tokens.length === 0 && security !== "dev") {
    throw configError(tokensName, `profile "${security}" needs at least one token; set the secret with wrangler secret put ${tokensName}`);
  }
  return {
    security,
    tokens,
    nodes,
    origins: namesOf(env, "TOOLRUNTIME_ORIGINS"),
    hosts: tokens.length === 0 ? loopbackHosts : "any",
  };
}
