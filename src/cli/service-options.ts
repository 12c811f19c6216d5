import { resolve } from "node:path";
import type { ServiceConfig } from "../adapters/executor/index.ts";
import { securityProfiles, type SecurityProfile } from "../profile.ts";

// The parser wants an array that it could change.
const profileNames: SecurityProfile[] = [...securityProfiles];

/** What every command takes that starts a service. */
export const serviceArgs = {
  host: { type: "string", description: "The address to listen on; 127.0.0.1 where none is named", valueHint: "address" },
  port: { type: "string", description: "The port; 8787 where none is named, 0 for any that is free", valueHint: "number" },
  security: { type: "enum", options: profileNames, description: "What must hold; standard where nothing is named" },
  tools: { type: "string", description: 'The folder of tools; "tools" where none is named', valueHint: "folder" },
  config: { type: "string", description: "A configuration file", valueHint: "file" },
  token: { type: "string", description: "A bearer token; others on this machine can see it, --token-file is better", valueHint: "token" },
  "token-file": { type: "string", description: "A file that holds a bearer token", valueHint: "file" },
  "allow-unsafe": { type: "boolean", description: "Let host commands run as this user, without a sandbox; profile dev only" },
} as const;

/** Their values, as they were given. */
export interface ServiceArguments {
  readonly host?: string | undefined;
  readonly port?: string | undefined;
  readonly security?: SecurityProfile | undefined;
  readonly tools?: string | undefined;
  readonly config?: string | undefined;
  readonly token?: string | undefined;
  readonly "token-file"?: string | undefined;
  readonly "allow-unsafe"?: boolean | undefined;
}

/** The file's configuration, or the default one, with the options in place. @throws `ERR_CONFIG_INVALID`. */
export async function configOf(options: ServiceArguments): Promise<ServiceConfig> {
  const { loadConfig, parseConfig } = await import("../adapters/executor/index.ts");
  const { parsePort } = await import("./run-service.ts");
  const { host, port, security, tools, token, config: file } = options;
  const config = file === undefined ? parseConfig({}) : await loadConfig(file);
  const caller = { principal: "command line", tenant: "default" };
  const tokenFile = options["token-file"];
  return {
    ...config,
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port: parsePort(port) }),
    ...(security === undefined ? {} : { security }),
    ...(tools === undefined ? {} : { tools: resolve(tools) }),
    tokens: [
      ...config.tokens,
      ...(token === undefined ? [] : [{ ...caller, token }]),
      ...(tokenFile === undefined ? [] : [{ ...caller, file: tokenFile }]),
    ],
    backends: {
      ...config.backends,
      ...(options["allow-unsafe"] === true ? { unsafe: { ...config.backends.unsafe, acceptUnsafe: true } } : {}),
    },
  };
}
