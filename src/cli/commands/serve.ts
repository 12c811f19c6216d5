import type { ParsedArgs } from "citty";
import { resolve } from "node:path";
import type { ServiceConfig } from "../../adapters/executor/index.ts";
import { securityProfiles, type SecurityProfile } from "../../profile.ts";
import { defineCommand } from "../command.ts";
import { openTerminal, styled } from "../terminal.ts";

const notes = `The configuration is a JSON file; the options win over it. Without a token the service answers on a loopback address
only, and in profile dev only. The log goes to stderr, one JSON object a line. SIGTERM or Ctrl-C takes no new work and
lets what runs end; a second signal ends it at once. A bad configuration or a taken port gives exit code 1.

Examples:
  toolruntime serve --tools ./tools --security dev
  toolruntime serve --config ./toolruntime.json
  openssl rand -hex 32 > token && toolruntime serve --tools ./tools --token-file ./token
  curl http://127.0.0.1:8787/v1/executions -H 'content-type: application/json' -d '{"tool":"hash","input":{"text":"a"}}'`;

// The parser wants an array that it could change.
const profileNames: SecurityProfile[] = [...securityProfiles];

const args = {
  host: { type: "string", description: "The address to listen on; 127.0.0.1 where none is named", valueHint: "address" },
  port: { type: "string", description: "The port; 8787 where none is named, 0 for any that is free", valueHint: "number" },
  security: { type: "enum", options: profileNames, description: "What must hold; standard where nothing is named" },
  tools: { type: "string", description: 'The folder of tools; "tools" where none is named', valueHint: "folder" },
  config: { type: "string", description: "A configuration file", valueHint: "file" },
  token: { type: "string", description: "A bearer token; others on this machine can see it, --token-file is better", valueHint: "token" },
  "token-file": { type: "string", description: "A file that holds a bearer token", valueHint: "file" },
  "allow-unsafe": { type: "boolean", description: "Let host commands run as this user, without a sandbox; profile dev only" },
} as const;

export const serve = defineCommand({
  meta: { name: "toolruntime serve", description: "Serves the tools of a folder over HTTP" },
  args,
  notes,
  run: async ({ args: options }) => {
    const { startService, untilStopped } = await import("../run-service.ts");
    const terminal = openTerminal();
    const started = await terminal.progress("Starting", configOf(options).then(startService));
    // Before anybody can read that it listens: from then on a signal drains.
    const stopped = untilStopped(terminal, started);
    terminal.print(styled("green", "listening "), `on ${started.url} with ${started.tools.list().length} tools; Ctrl-C ends it`);
    for (const warning of started.warnings) terminal.note(styled("yellow", "warning: "), warning);
    return stopped;
  },
});

/** The file's configuration, or the default one, with the options in place. @throws `ERR_CONFIG_INVALID`. */
async function configOf(options: ParsedArgs<typeof args>): Promise<ServiceConfig> {
  const { loadConfig, parseConfig } = await import("../../adapters/executor/index.ts");
  const { parsePort } = await import("../run-service.ts");
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
