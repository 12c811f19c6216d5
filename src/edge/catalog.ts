import { ToolRuntimeError } from "../errors.ts";
import { artifactKinds } from "../internal/artifact-kinds.ts";
import { isDigest } from "../internal/digest.ts";
import type { BackendProbe } from "../runtime.ts";
import type { Tool, ToolRef } from "../tool.ts";
import type { WireTool } from "../wire.ts";
import { cappedBody } from "./body.ts";
import type { Settings } from "./options.ts";
import { headersOf, replyJson } from "./reply.ts";
import { identify, type AppContext } from "./scope.ts";

type Handler = (c: AppContext) => Promise<Response>;

/** What a caller may know of a tool; where its artifacts are is not part of it. */
function viewOf({ manifest, digest }: Tool): WireTool {
  const { name, title, version, description, artifacts, inputSchema, outputSchema, annotations, resources, permissions, examples } =
    manifest;
  return {
    name,
    ...(title === undefined ? {} : { title }),
    version,
    description,
    digest,
    artifacts: artifactKinds.filter((kind) => kind in artifacts),
    inputSchema,
    ...(outputSchema === undefined ? {} : { outputSchema }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(resources === undefined ? {} : { resources }),
    ...(permissions === undefined ? {} : { permissions }),
    ...(examples === undefined ? {} : { examples }),
  };
}

/** `GET /v1/tools`. */
export function listTools(settings: Settings): Handler {
  return async (c) => {
    await identify(c, settings, "read");
    return replyJson(c.get("scope").requestId, 200, JSON.stringify({ tools: settings.tools.list().map(viewOf) }));
  };
}

/** `GET /v1/tools/{name}` and `GET /v1/tools/{name}/{version}`, where a digest may stand for the version. */
export function getTool(settings: Settings): Handler {
  return async (c) => {
    await identify(c, settings, "read");
    const name = c.req.param("name") ?? "";
    const version = c.req.param("version");
    const ref: ToolRef = version === undefined ? { name } : isDigest(version) ? { name, digest: version } : { name, version };
    const tool = settings.tools.get(ref);
    if (tool === undefined) throw settings.tools.missing(ref);
    return replyJson(c.get("scope").requestId, 200, JSON.stringify(viewOf(tool)));
  };
}

/** Asks the backends, and not again before an answer has run out or while a question is under way. */
export class Prober {
  readonly #settings: Settings;
  #asking: Promise<readonly BackendProbe[]> | undefined;
  #until = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  probe(): Promise<readonly BackendProbe[]> {
    if (this.#asking !== undefined && performance.now() < this.#until) return this.#asking;
    this.#until = Number.POSITIVE_INFINITY;
    const asking = this.#settings.runtime.probe();
    this.#asking = asking;
    asking.then(
      (probes) => (this.#until = performance.now() + Math.min(60_000, ...probes.map(({ validForMs }) => validForMs))),
      () => (this.#until = 0),
    );
    return asking;
  }
}

/** `GET /v1/backends`. */
export function listBackends(prober: Prober, settings: Settings): Handler {
  return async (c) => {
    await identify(c, settings, "read");
    return replyJson(c.get("scope").requestId, 200, JSON.stringify({ security: settings.security, backends: await prober.probe() }));
  };
}

/** `POST /v1/blobs`: the body as it is. */
export function putBlob(settings: Settings): Handler {
  return async (c) => {
    const { tenant } = await identify(c, settings, "run");
    const body = cappedBody(c, settings.limits.maxUploadBytes);
    const blob = await settings.blobs.put(body);
    await settings.executions.grantBlob(tenant, blob.digest);
    return replyJson(c.get("scope").requestId, 201, JSON.stringify(blob), { location: `/v1/blobs/${blob.digest}` });
  };
}

/** `GET /v1/blobs/{digest}`. */
export function getBlob(settings: Settings): Handler {
  return async (c) => {
    const { tenant } = await identify(c, settings, "read");
    const digest = c.req.param("digest") ?? "";
    const mayRead = await settings.executions.mayReadBlob(tenant, digest);
    const bytes = mayRead ? await settings.blobs.get(digest) : undefined;
    if (bytes === undefined) {
      throw new ToolRuntimeError(
        "ERR_BLOB_NOT_FOUND",
        `Cannot find the blob ${JSON.stringify(digest.slice(0, 100))}: there is none, or it is forgotten`,
      );
    }
    // A tool made it: a browser must save it and never show it as a page of this origin.
    const headers = headersOf(c.get("scope").requestId, "application/octet-stream", {
      "content-disposition": "attachment",
      etag: `"${digest}"`,
    });
    return new Response(new Blob([bytes as Uint8Array<ArrayBuffer>]), { status: 200, headers });
  };
}

/** `GET /livez`: the process answers. */
export function live(): Handler {
  return async (c) => replyJson(c.get("scope").requestId, 200, '{"status":"ok"}');
}

/** `GET /readyz`: it takes work, and has at least one backend that is ready. */
export function ready(prober: Prober, settings: Settings): Handler {
  return async (c) => {
    const { requestId } = c.get("scope");
    if (settings.state.isDraining) return replyJson(requestId, 503, '{"status":"draining"}');
    const isReady = await prober.probe().then(
      (probes) => probes.some(({ status }) => status === "ready"),
      () => false,
    );
    return replyJson(requestId, isReady ? 200 : 503, `{"status":"${isReady ? "ok" : "unavailable"}"}`);
  };
}
