import type { Context, MiddlewareHandler } from "hono";
import { ToolRuntimeError, toToolRuntimeError } from "../errors.ts";
import { wireHeaders } from "../internal/wire-names.ts";
import { requireScope, unauthorized, type AuthRequest, type Identity, type Scope } from "./auth.ts";
import { checkBody, type BodyCheck } from "./body-digest.ts";
import type { Settings } from "./options.ts";
import { noteLoad } from "./load.ts";
import { replyProblem } from "./reply.ts";

/** What is known of one request while it is answered. */
export interface RequestScope {
  readonly requestId: string;
  readonly startedAt: number;
  readonly traceparent: string | undefined;
  identity: Identity | undefined;
  /** For whoever reads the body, where the caller's token is for one body alone. */
  bodyCheck: BodyCheck | undefined;
  /** What the log line says besides. */
  readonly facts: Record<string, unknown>;
  /** Set where the answer goes on after its head was given back: whoever ends it writes the log line. */
  endsLater: boolean;
}

export interface AppEnv {
  Variables: { scope: RequestScope };
}
export type AppContext = Context<AppEnv>;

/** From a client that calls itself sane: visible, short, nothing that a log or header would stumble over. */
const requestIdPattern = /^[A-Za-z0-9._:-]{1,64}$/;
/** W3C Trace Context, §3.2. */
const traceparentPattern = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

function openScope(c: AppContext): RequestScope {
  const given = c.req.header(wireHeaders.requestId);
  const trace = c.req.header(wireHeaders.traceparent);
  return {
    requestId: given !== undefined && requestIdPattern.test(given) ? given : crypto.randomUUID(),
    startedAt: performance.now(),
    traceparent: trace !== undefined && traceparentPattern.test(trace) ? trace : undefined,
    identity: undefined,
    bodyCheck: undefined,
    facts: {},
    endsLater: false,
  };
}

/** The name in a Host header, without its port; IPv6 keeps its brackets (RFC 9110 §7.2). */
function hostName(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, "");
}

/** The authority of a request's URL: that of an absolute request target where it has one (RFC 9112 §3.2.2), else the Host. */
function authorityOf(url: string): string {
  const start = url.indexOf("//") + 2;
  const end = url.indexOf("/", start);
  return end === -1 ? url.slice(start) : url.slice(start, end);
}

/** Path and query of a request's URL. */
function targetOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("//") + 2);
  const fragment = url.indexOf("#");
  return start === -1 ? "/" : url.slice(start, fragment === -1 ? undefined : fragment);
}

/**
 * Refuses requests that a browser was tricked into: a page whose name was rebound to this address sends its own name as
 * Host (DNS rebinding), a page of another site sends its Origin.
 */
function foreignness(c: AppContext, { hosts, origins }: Settings): ToolRuntimeError | undefined {
  const host = c.req.header("host");
  if (host?.includes(",") === true) {
    return new ToolRuntimeError("ERR_ARGUMENT_INVALID", "Cannot read the request: it has more than one Host", {
      details: { header: "host" },
    });
  }
  if (hosts !== "any" && (host === undefined || !hosts.includes(hostName(host)) || !hosts.includes(hostName(authorityOf(c.req.url))))) {
    return new ToolRuntimeError(
      "ERR_FORBIDDEN",
      "Cannot answer the request: its Host is not one of this service's; add it to the service's hosts",
      {
        details: { header: "host" },
      },
    );
  }
  const origin = c.req.header("origin");
  if (origin === undefined || origins.includes(origin)) return undefined;
  if (host !== undefined && (origin === `http://${host}` || origin === `https://${host}`)) return undefined;
  return new ToolRuntimeError("ERR_FORBIDDEN", "Cannot answer the request: its Origin is another site; add it to the service's origins", {
    details: { header: "origin" },
  });
}

/** Writes the one line of a request. */
export function logRequest(settings: Settings, c: AppContext, status: number): void {
  const scope = c.get("scope");
  const ms = performance.now() - scope.startedAt;
  const { method, path } = c.req;
  settings.metrics?.requestEnded({ method, status, ms });
  const { identity, traceparent } = scope;
  settings.log.info(
    {
      requestId: scope.requestId,
      method,
      path: path.length > 256 ? `${path.slice(0, 256)}…` : path,
      status,
      ms: Math.round(ms * 1000) / 1000,
      ...(identity === undefined ? undefined : { tenant: identity.tenant, principal: identity.principal }),
      ...(identity?.issuer === undefined ? undefined : { issuer: identity.issuer }),
      ...(traceparent === undefined ? undefined : { traceparent }),
      ...scope.facts,
    },
    "request",
  );
}

/** Notes an error for the log line; one that nobody foresaw gets a line of its own, with its stack. */
export function noteError(settings: Settings, scope: RequestScope, cause: unknown): ToolRuntimeError {
  const error = toToolRuntimeError(cause);
  scope.facts["code"] = error.code;
  if (error.code === "ERR_INTERNAL") settings.log.error({ requestId: scope.requestId, err: error.cause ?? error }, "internal error");
  return error;
}

/** The outermost handler: request id, Host and Origin, the log line. */
export function gate(settings: Settings): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const scope = openScope(c);
    c.set("scope", scope);
    const foreign = foreignness(c, settings);
    if (foreign !== undefined) c.res = replyProblem(scope.requestId, noteError(settings, scope, foreign));
    else await next();
    noteLoad(c, settings);
    if (!scope.endsLater) logRequest(settings, c, c.res.status);
  };
}

/** A request as authenticators see it. */
class ContextRequest implements AuthRequest {
  readonly #c: AppContext;
  readonly #settings: Settings;

  constructor(c: AppContext, settings: Settings) {
    this.#c = c;
    this.#settings = settings;
  }

  get method(): string {
    return this.#c.req.method;
  }

  get target(): string {
    return targetOf(this.#c.req.url);
  }

  get certificate(): string | undefined {
    return this.#settings.certificateOf?.(this.#c.env);
  }

  header(name: string): string | undefined {
    return this.#c.req.header(name);
  }

  note(reason: string): void {
    this.#c.get("scope").facts["denied"] = reason;
  }
}

/**
 * Who calls, where he may. Where his token is for one body alone, whatever reads the body compares it (`bodyCheck`).
 *
 * @throws `ERR_UNAUTHORIZED`, `ERR_FORBIDDEN`, `ERR_TOKEN_REPLAYED`, `ERR_RATE_LIMITED`.
 */
export async function identify(c: AppContext, settings: Settings, scope: Scope): Promise<Identity> {
  const { identity: known } = c.get("scope");
  // Several handlers may ask on the way of one request; its token is good once.
  if (known !== undefined) {
    requireScope(known, scope);
    return known;
  }
  const found = settings.authenticate(new ContextRequest(c, settings));
  const identity = found instanceof Promise ? await found : found;
  if (identity === undefined) throw unauthorized(c.req.header("authorization"));
  c.get("scope").identity = identity;
  requireScope(identity, scope);
  const { method } = c.req;
  // Whoever has sent too much may still end his runs, and keep those that go on.
  if (method !== "DELETE" && method !== "PUT") await settings.limitRate?.(identity);
  if (identity.bodyDigest !== undefined) c.get("scope").bodyCheck = checkBody(c, identity.bodyDigest, settings.createHash);
  return identity;
}
