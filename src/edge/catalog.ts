import { artifactKinds } from "../internal/artifact-kinds.ts";
import { isDigest } from "../internal/digest.ts";
import { JointQuestion } from "../internal/joint-question.ts";
import type { BackendProbe } from "../runtime.ts";
import type { Tool, ToolRef } from "../tool.ts";
import { wireFeatures } from "../internal/wire-names.ts";
import type { WireTool } from "../wire.ts";
import type { Settings } from "./options.ts";
import { replyJson } from "./reply.ts";
import { identify, type AppContext } from "./scope.ts";

type Handler = (c: AppContext) => Promise<Response>;

/** What a caller may know of a tool; where its artifacts are is not part of it. */
export function viewOf({ manifest, digest }: Tool): WireTool {
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
  readonly #asking = new JointQuestion(() => this.#ask());
  #probes: readonly BackendProbe[] = [];
  #until = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  async probe(): Promise<readonly BackendProbe[]> {
    return performance.now() < this.#until ? this.#probes : this.#asking.ask();
  }

  async #ask(): Promise<readonly BackendProbe[]> {
    this.#probes = await this.#settings.runtime.probe();
    this.#until = performance.now() + Math.min(60_000, ...this.#probes.map(({ validForMs }) => validForMs));
    return this.#probes;
  }
}

async function backendsOf(prober: Prober, { security, node, instance }: Settings): Promise<object> {
  const backends = await prober.probe();
  return { security, backends, ...(node === undefined ? {} : { node }), instance: instance(), features: wireFeatures };
}

/** `GET /v1/backends`. */
export function listBackends(prober: Prober, settings: Settings): Handler {
  return async (c) => {
    await identify(c, settings, "read");
    return replyJson(c.get("scope").requestId, 200, JSON.stringify(await backendsOf(prober, settings)));
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
