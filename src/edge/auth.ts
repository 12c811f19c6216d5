import { ToolRuntimeError } from "../errors.ts";
import { sha256 } from "../internal/digest.ts";

export const scopes = ["run", "read", "metrics"] as const;
/** `run`: start and cancel executions, upload. `read`: tools, backends, executions, blobs. `metrics`: `/metrics`. */
export type Scope = (typeof scopes)[number];

/** Who calls. Executions, blobs and idempotency keys belong to the tenant. */
export interface Identity {
  readonly principal: string;
  readonly tenant: string;
  readonly scopes: readonly Scope[];
}

/** Says who calls by the `Authorization` header, or nothing where it is missing or wrong. */
export type Authenticator = (authorization: string | undefined) => Identity | undefined | Promise<Identity | undefined>;

export interface BearerToken {
  readonly token: string;
  readonly principal: string;
  readonly tenant: string;
  /** Default: all. */
  readonly scopes?: readonly Scope[];
}

/** Everybody is the same caller. For a loopback address in `dev` only. */
export function anyone(): Authenticator {
  const identity: Identity = { principal: "anonymous", tenant: "default", scopes };
  return () => identity;
}

/** Compares every character, so that the time does not tell how many fit. Both are digests, of equal length. */
function isEqualDigest(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let index = 0; index < a.length; index++) difference |= a.charCodeAt(index) ^ b.charCodeAt(index);
  return difference === 0;
}

/**
 * Static bearer tokens (RFC 6750 §2.1). The digests of the given token and of each known one are compared, all of them
 * each time. A header that was right once is then known by itself: the map is asked by the string's hash, whose seed is the process's own.
 */
export function bearerTokens(tokens: readonly BearerToken[]): Authenticator {
  const known = new Map<string, Identity>();
  let digests: Promise<{ readonly digest: string; readonly identity: Identity }[]> | undefined;

  const digestAll = () =>
    Promise.all(
      tokens.map(async ({ token, principal, tenant, scopes: some }) => ({
        digest: await sha256(token),
        identity: { principal, tenant, scopes: some ?? scopes },
      })),
    );

  const check = async (authorization: string): Promise<Identity | undefined> => {
    const token = /^bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(authorization)?.[1];
    if (token === undefined) return undefined;
    digests ??= digestAll();
    const given = await sha256(token);
    let found: Identity | undefined;
    for (const { digest, identity } of await digests) {
      if (isEqualDigest(given, digest)) found = identity;
    }
    if (found !== undefined && known.size < tokens.length * 2) known.set(authorization, found);
    return found;
  };

  return (authorization) => (authorization === undefined ? undefined : (known.get(authorization) ?? check(authorization)));
}

/** @throws `ERR_FORBIDDEN`. */
export function requireScope(identity: Identity, scope: Scope): void {
  if (identity.scopes.includes(scope)) return;
  throw new ToolRuntimeError("ERR_FORBIDDEN", `Cannot answer the request: the token has no scope "${scope}"`, {
    details: { scope, scopes: identity.scopes },
  });
}

export function unauthorized(authorization: string | undefined): ToolRuntimeError {
  const state = authorization === undefined ? "it has no token" : "its token is not known here";
  return new ToolRuntimeError("ERR_UNAUTHORIZED", `Cannot answer the request: ${state}; send "Authorization: Bearer <token>"`);
}
