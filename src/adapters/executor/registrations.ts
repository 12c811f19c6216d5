import { announce, registration, type NodeSource } from "../remote/index.ts";
import type { Log, Mount } from "../../edge/index.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { AnnounceConfig, RegistrationConfig } from "./config/remote.ts";
import { credentialsOf, readSecret, secretOf } from "./open-remote.ts";

/** Takes nodes that come by themselves: where they say so, and what they come to. */
export interface OpenRegistration {
  readonly source: NodeSource;
  readonly mount: Mount;
}

/** @throws `ERR_CONFIG_INVALID`. */
export async function openRegistration(config: RegistrationConfig): Promise<OpenRegistration> {
  const at = "backends.remote.registration";
  const { hosts, ttlMs, opens } = config;
  const { app, source } = registration({
    token: (await secretOf(config, at)) ?? "",
    hosts,
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(opens === undefined ? {} : { credentials: await credentialsOf(opens, `${at}.opens`) }),
  });
  return { source, mount: { path: "/v1/nodes", app, access: "public" } };
}

export interface AnnouncingOptions {
  readonly config: AnnounceConfig;
  readonly name: string;
  /** Where the node listens. */
  readonly url: string;
  readonly log: Log;
}

/** Says to an edge that this node is there. What it gives back takes the node away again. @throws `ERR_CONFIG_INVALID`. */
export async function startAnnouncing({ config, name, url, log }: AnnouncingOptions): Promise<() => Promise<void>> {
  const { edge, caFile, insecureHttp } = config;
  const token = (await secretOf(config, "announce")) ?? "";
  const { nodeFetch } = await import("../remote/node.ts");
  const own = nodeFetch(caFile === undefined ? {} : { ca: await readSecret(caFile, "announce.caFile") });
  let isTold = false;
  const leave = announce({
    edge,
    token,
    name,
    url: config.url ?? url,
    fetch: own.fetch,
    ...(insecureHttp === undefined ? {} : { insecureHttp }),
    // Once: it is asked again every two seconds.
    onFailure: (error: ToolRuntimeError) => {
      if (!isTold) log.warn({ code: error.code, edge }, `${error.message}; it is tried again`);
      isTold = true;
    },
  });
  return async () => {
    await leave();
    await own.close();
  };
}
