import { didYouMean } from "../../internal/nearest.ts";
import { securityProfiles, type SecurityProfile } from "../../profile.ts";
import { scopes, type BearerToken, type Scope } from "../auth.ts";
import type { WorkerEnv } from "./bindings.ts";
import { keysName, keysOf, signingName, signingOf, type KeysVariable, type SigningVariable } from "./trust-variables.ts";
import { configError, listOf, textIn, textOf, type Entry } from "./variables.ts";

/** An executor node that tasks may be forwarded to. */
export interface NodeAddress {
  readonly url: string;
  /** Absent: requests are signed. */
  readonly token?: string;
  /** What the node calls itself, where requests are signed. Default: its url. */
  readonly audience?: string;
}

/** What a worker is told by its variables and secrets. */
export interface WorkerConfig {
  readonly security: SecurityProfile;
  readonly tokens: readonly BearerToken[];
  readonly nodes: readonly NodeAddress[];
  /** Who may sign requests to the worker. */
  readonly keys?: KeysVariable;
  /** What the worker signs its requests to nodes with. */
  readonly signing?: SigningVariable;
  readonly origins: readonly string[];
  /** The values of Host that are answered; `"any"`: those that the platform routes here. */
  readonly hosts: readonly string[] | "any";
}

/** RFC 6750 §2.1, and long enough not to be guessed. */
const tokenPattern = /^[A-Za-z0-9._~+/-]{16,}=*$/;
const tokensName = "TOOLRUNTIME_TOKENS";

function isScope(value: unknown): value is Scope {
  return scopes.some((scope) => scope === value);
}

function tokenOf(env: WorkerEnv, entry: Entry, index: number): BearerToken {
  if ("token" in entry === "env" in entry) throw configError(tokensName, `/${index} must have exactly one of token and env`);
  const source = "env" in entry ? textIn(tokensName, entry, { key: "env", at: `/${index}` }) : undefined;
  const token = source === undefined ? textIn(tokensName, entry, { key: "token", at: `/${index}` }) : textOf(env, source);
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
    principal: textIn(tokensName, entry, { key: "principal", at: `/${index}` }),
    tenant: entry["tenant"] === undefined ? "default" : textIn(tokensName, entry, { key: "tenant", at: `/${index}` }),
    ...(some === undefined ? {} : { scopes: some.filter(isScope) }),
  };
}

const nodesName = "TOOLRUNTIME_NODES";

function nodeOf(env: WorkerEnv, entry: Entry, { index, signs }: { readonly index: number; readonly signs: boolean }): NodeAddress {
  const at = `/${index}`;
  const url = textIn(nodesName, entry, { key: "url", at });
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw configError(nodesName, `${at}/url must be an http or https address`);
  if (signs && !("token" in entry) && !("env" in entry))
    return "audience" in entry ? { url, audience: textIn(nodesName, entry, { key: "audience", at }) } : { url };
  if ("audience" in entry)
    throw configError(nodesName, `${at}/audience is for nodes whose requests are signed; set ${signingName}, and no token`);
  if ("token" in entry === "env" in entry)
    throw configError(nodesName, `${at} must have exactly one of token and env, unless ${signingName} is set`);
  const source = "env" in entry ? textIn(nodesName, entry, { key: "env", at }) : undefined;
  const token = source === undefined ? textIn(nodesName, entry, { key: "token", at }) : textOf(env, source);
  if (token === undefined) throw configError(nodesName, `${at}: the secret "${source}" is not set`);
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
 * - `TOOLRUNTIME_KEYS` (secret): who may sign requests, `{ keys: [public JWK, …], issuers: [{ name, tenants?, scopes? }, …], audience }`.
 * - `TOOLRUNTIME_NODES` (secret): executor nodes behind the worker, a JSON list of `{ url, token | env }`, or of
 *   `{ url, audience? }` where requests are signed.
 * - `TOOLRUNTIME_SIGNING` (secret): what they are signed with, `{ key: private JWK, issuer?, subject, tenant?, scopes? }`.
 * - `TOOLRUNTIME_ORIGINS`: other sites whose pages may call, with commas between them.
 *
 * Without tokens and keys only profile `dev` is served, and only to those who call it by a name of the own machine.
 *
 * @throws `ERR_CONFIG_INVALID`, which names the variable and never says what it holds.
 */
export function readConfig(env: WorkerEnv): WorkerConfig {
  const security = securityOf(env);
  const tokens = listOf(env, tokensName, ["token", "env", "principal", "tenant", "scopes"]).map((entry, index) =>
    tokenOf(env, entry, index),
  );
  const [keys, signing] = [keysOf(env), signingOf(env)];
  const signs = signing !== undefined;
  const nodes = listOf(env, nodesName, ["url", "token", "env", "audience"]).map((entry, index) => nodeOf(env, entry, { index, signs }));
  const isOpen = tokens.length === 0 && keys === undefined;
  if (isOpen && security !== "dev") {
    throw configError(
      tokensName,
      `profile "${security}" needs at least one token; set the secret with wrangler secret put ${tokensName}, or ${keysName}`,
    );
  }
  return {
    security,
    tokens,
    nodes,
    origins: namesOf(env, "TOOLRUNTIME_ORIGINS"),
    hosts: isOpen ? loopbackHosts : "any",
    ...(keys === undefined ? {} : { keys }),
    ...(signing === undefined ? {} : { signing }),
  };
}
