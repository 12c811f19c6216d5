import { Hono, type Context } from "hono";
import { ToolRuntimeError } from "../../errors.ts";
import { sha256 } from "../../internal/digest.ts";
import type { Credentials, NamedNode, NodeSource, RemoteNode } from "./sources.ts";

export interface RegistrationOptions {
  /** What a node shows to be taken, at least 16 characters. */
  readonly token: string;
  /**
   * Hosts that may be registered: `"node-1.example"`, or `"*.nodes.example"` for all below. Whoever has the token could have runs, and
   * what opens the nodes, sent anywhere otherwise.
   */
  readonly hosts: readonly string[];
  /** What opens a node to whoever sends runs to it. */
  readonly credentials?: (node: NamedNode) => Credentials;
  /** A node that was not heard of for so long is gone, in ms. Default 30,000. */
  readonly ttlMs?: number;
  /** Default 256. */
  readonly maxNodes?: number;
}

export interface Registration {
  /** `POST /`, `GET /` and `DELETE /{name}`; to be mounted at `/v1/nodes` with access `"public"`, as it asks for its own token. */
  readonly app: Hono;
  readonly source: NodeSource;
}

interface Held {
  readonly node: RemoteNode;
  readonly until: number;
}

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const maxBodyBytes = 4096;

/** Executor nodes that come by themselves: each says every while that it is there, and is forgotten when it does not. */
export function registration(options: RegistrationOptions): Registration {
  const register = new Register(options);
  const app = new Hono();
  const isAllowed = checkOf(options.token);
  app.use(async (c, next) => {
    if (await isAllowed(c.req.header("authorization"))) return next();
    return problem(c, { status: 401, code: "ERR_UNAUTHORIZED", detail: "Cannot take the node: the token is not the one for nodes" });
  });
  app.post("/", async (c) => {
    const body = await readBody(c);
    const failure = body === undefined ? "the body must be a JSON object of a name and a url" : register.add(body);
    if (failure === undefined) return c.json({ name: body?.name, ttlMs: register.ttlMs }, 200);
    return problem(c, { status: 400, code: "ERR_ARGUMENT_INVALID", detail: `Cannot take the node: ${failure}` });
  });
  app.get("/", (c) => c.json({ nodes: register.live().map(({ name, url }) => ({ name, url })) }));
  app.delete("/:name", (c) => {
    register.remove(c.req.param("name"));
    return c.body(null, 204);
  });
  return { app, source: register };
}

/** What nodes have said of themselves, as long as they say it. */
class Register implements NodeSource {
  readonly ttlMs: number;
  readonly #options: RegistrationOptions;
  readonly #held = new Map<string, Held>();
  readonly #listeners = new Set<(nodes: readonly RemoteNode[]) => void>();

  constructor(options: RegistrationOptions) {
    if (options.token.length < 16) throw invalid("token", "it takes at least 16 characters");
    if (options.hosts.length === 0) throw invalid("hosts", "it takes at least one host that nodes may have");
    this.#options = options;
    this.ttlMs = options.ttlMs ?? 30_000;
  }

  list(): readonly RemoteNode[] {
    return this.live();
  }

  live(): readonly RemoteNode[] {
    const now = performance.now();
    for (const [name, { until }] of this.#held) if (until <= now) this.#held.delete(name);
    return Array.from(this.#held.values(), ({ node }) => node);
  }

  /** Says why not. */
  add({ name, url }: NamedNode): string | undefined {
    const { hosts, credentials, maxNodes = 256 } = this.#options;
    if (!namePattern.test(name)) return "its name takes 1 to 63 letters, digits, dots, underscores and hyphens";
    if (!URL.canParse(url)) return "its url is none";
    const { hostname, protocol, username } = new URL(url);
    if ((protocol !== "https:" && protocol !== "http:") || username !== "") return "its url is no address of a service";
    if (!hosts.some((host) => isHost(host, hostname))) return "its host is not one that nodes may have";
    const old = this.#held.get(name);
    if (old === undefined && this.live().length >= maxNodes) return "there are too many already";
    const isKnown = old?.node.url === url;
    const node = isKnown ? old.node : { name, url, ...credentials?.({ name, url }) };
    this.#held.set(name, { node, until: performance.now() + this.ttlMs });
    if (!isKnown) this.#tell();
    return undefined;
  }

  remove(name: string): void {
    if (this.#held.delete(name)) this.#tell();
  }

  onChange(listener: (nodes: readonly RemoteNode[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(): void {
    const nodes = this.live();
    for (const listener of this.#listeners) listener(nodes);
  }
}

/** `*.nodes.example` stands for each host below, and not for itself. */
function isHost(pattern: string, host: string): boolean {
  return pattern.startsWith("*.") ? host.endsWith(pattern.slice(1)) && host.length >= pattern.length : host === pattern;
}

/** Compares digests, so that the time tells nothing of the token. */
function checkOf(token: string): (authorization: string | undefined) => Promise<boolean> {
  let known: Promise<string> | undefined;
  return async (authorization) => {
    const given = /^bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (given === undefined) return false;
    return (await sha256(given)) === (await (known ??= sha256(token)));
  };
}

async function readBody(c: Context): Promise<NamedNode | undefined> {
  try {
    if (Number(c.req.header("content-length") ?? maxBodyBytes + 1) > maxBodyBytes) return undefined;
    const value: unknown = await c.req.json();
    if (typeof value !== "object" || value === null || !("name" in value) || !("url" in value)) return undefined;
    const { name, url } = value;
    return typeof name === "string" && typeof url === "string" ? { name, url } : undefined;
  } catch {
    return undefined;
  }
}

function problem(
  c: Context,
  { status, code, detail }: { readonly status: 400 | 401; readonly code: string; readonly detail: string },
): Response {
  const body = {
    type: `urn:toolruntime:error:${code}`,
    title: detail,
    status,
    detail,
    code,
    actor: "operator",
    retryable: false,
    started: false,
  };
  const headers = { "content-type": "application/problem+json", "cache-control": "no-store" };
  return c.body(JSON.stringify({ ...body, details: {}, requestId: c.res.headers.get("x-request-id") ?? "" }), status, headers);
}

function invalid(option: string, why: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot use the option "${option}" of the registration of nodes: ${why}`, {
    details: { option },
  });
}
