import { readFile } from "node:fs/promises";
import type { Backend } from "../../backend.ts";
import type { BackendOptions } from "./backends.ts";
import type { Credentials, NamedNode, NodeSource, RemoteNode } from "../remote/index.ts";
import { configError, reasonOf } from "./config/errors.ts";
import type { RemoteConfig, RemoteCredentials } from "./config/remote.ts";

export async function readSecret(file: string, source: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    throw configError(source, `the file ${JSON.stringify(file)} cannot be read: ${reasonOf(error)}`, error);
  }
}

/** What the parser says would quote the key. */
function jsonOf(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw configError(source, "the file is not JSON");
  }
}

interface SecretPlace {
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly tokenEnv?: string | undefined;
}

/** A token from where the configuration says that it is; nothing where it says nothing. */
export async function secretOf({ token, tokenFile, tokenEnv }: SecretPlace, source: string): Promise<string | undefined> {
  const value = token ?? (tokenFile === undefined ? process.env[tokenEnv ?? ""] : await readSecret(tokenFile, source));
  if (value === undefined && tokenEnv !== undefined) throw configError(source, `the environment variable "${tokenEnv}" is not set`);
  return value;
}

/** What opens a node, from where the configuration says that it is. */
export async function credentialsOf(
  { token, tokenFile, tokenEnv, signing }: RemoteCredentials,
  source: string,
): Promise<(node: NamedNode) => Credentials> {
  if (signing !== undefined) {
    const { parsePrivateKey, requestSigner } = await import("../trust/index.ts");
    const key = parsePrivateKey(jsonOf(await readSecret(signing.keyFile, source), `${source}.signing.keyFile`));
    const { subject, tenant, audience } = signing;
    const shared = { key, subject, ...(tenant === undefined ? {} : { tenant }) };
    return ({ name }) => ({ signer: requestSigner({ ...shared, audience: audience ?? name }) });
  }
  const value = await secretOf({ token, tokenFile, tokenEnv }, source);
  return () => (value === undefined ? {} : { token: value });
}

async function namedNodes({ nodes = [], dns }: RemoteConfig): Promise<NodeSource> {
  if (dns !== undefined) {
    const { nodesByName } = await import("../remote/node.ts");
    const { name, port, scheme } = dns;
    const where = { name, ...(port === undefined ? {} : { port }), ...(scheme === undefined ? {} : { scheme }) };
    return nodesByName({ ...where, credentials: await credentialsOf(dns, "backends.remote.dns") });
  }
  const named = nodes.map(async (node, index): Promise<RemoteNode> => {
    const { url } = node;
    const name = node.name ?? new URL(url).host;
    return { url, name, ...(await credentialsOf(node, `backends.remote.nodes[${index}]`))({ name, url }) };
  });
  return { nodes: await Promise.all(named) };
}

/** The backend "remote" with connections of its own. Closing it closes them. @throws `ERR_CONFIG_INVALID`. */
export async function openRemote({ registered, ...config }: BackendOptions["remote"]): Promise<Backend> {
  const [{ remote, joinSources }, { nodeFetch }] = await Promise.all([import("../remote/index.ts"), import("../remote/node.ts")]);
  const { tls = {}, connections, arch, nodes: _, dns: __, registration: ___, ...options } = config;
  const read = async (file: string | undefined) => (file === undefined ? undefined : readSecret(file, "backends.remote.tls"));
  const [ca, cert, key] = await Promise.all([read(tls.caFile), read(tls.certFile), read(tls.keyFile)]);
  const own = nodeFetch({
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(connections === undefined ? {} : { connections }),
  });
  try {
    const named = await namedNodes(config);
    const nodes = registered === undefined ? named : joinSources(named, registered);
    const filter =
      arch === undefined ? {} : { accepts: ({ host }: { host: { arch: string } | undefined }) => arch.includes(host?.arch ?? "") };
    const backend = remote({ ...options, ...filter, nodes, fetch: own.fetch });
    return {
      name: backend.name,
      delegates: true,
      probe: (signal) => backend.probe(signal),
      prepare: (plan, signal) => backend.prepare(plan, signal),
      run: (plan, io) => backend.run(plan, io),
      leftovers: () => backend.leftovers(),
      reap: () => backend.reap(),
      close: () => backend.close().finally(() => own.close()),
    };
  } catch (error) {
    await own.close();
    throw error;
  }
}
