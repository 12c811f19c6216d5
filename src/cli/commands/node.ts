import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { ServiceConfig } from "../../adapters/executor/index.ts";
import { defineCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import type { StartedService } from "../run-service.ts";
import { configOf, serviceArgs, type ServiceArguments } from "../service-options.ts";
import { openTerminal, styled, type Terminal } from "../terminal.ts";

const defaultFile = "toolruntime.json";
const defaultState = "state";

const notes = `The configuration is JSON, in which comments and trailing commas may stand; the options win over it, and --print-config
shows what came of both, defaults included. The state (executions, their answers, idempotency keys, the audit log) is in a folder
and outlives the process: "state" next to the configuration, where none is named. The log goes to stderr, one JSON object a line.

SIGTERM or Ctrl-C drains: new work is refused with 503, what runs or waits may end within "graceMs", then it is ended and the
process exits. A second signal ends it at once.

Exit codes: 0 drained · 1 it could not start: a wrong configuration, a taken port, a folder of state that another process has ·
2 wrong usage · 130, 143 ended at once by a second signal.

Examples:
  toolruntime node
  toolruntime node --config /etc/toolruntime/toolruntime.json --name build-7
  toolruntime node --print-schema > toolruntime.schema.json
  toolruntime node --config toolruntime.json --print-config`;

const args = {
  ...serviceArgs,
  config: { type: "string", description: `A configuration file; ${defaultFile} in this folder where it is there`, valueHint: "file" },
  name: { type: "string", description: "What the node is called; the machine's name where none is named", valueHint: "name" },
  state: { type: "string", description: "The folder of state", valueHint: "folder" },
  "print-schema": { type: "boolean", description: "Print the JSON Schema of the configuration, and end" },
  "print-config": { type: "boolean", description: "Print the configuration with all defaults, without tokens, and end" },
} as const;

export const node = defineCommand({
  meta: { name: "toolruntime node", description: "Runs an executor node: the tools of a folder over HTTP, with state that outlives it" },
  args,
  notes,
  run: async ({ args: options }) => {
    const terminal = openTerminal();
    if (options["print-schema"] === true) return printSchema(terminal);
    const config = await nodeConfigOf(options);
    if (options["print-config"] === true) return printConfig(terminal, config);
    const { startService, untilStopped } = await import("../run-service.ts");
    const started = await terminal.progress("Starting", startService(config));
    // Before anybody can read that it listens: from then on a signal drains.
    const stopped = untilStopped(terminal, started);
    printStart(terminal, started, config);
    return stopped;
  },
});

interface NodeArguments extends ServiceArguments {
  readonly name?: string | undefined;
  readonly state?: string | undefined;
}

/** @throws `ERR_CONFIG_INVALID`. */
async function nodeConfigOf(options: NodeArguments): Promise<ServiceConfig> {
  const { parseConfig } = await import("../../adapters/executor/index.ts");
  const file = options.config ?? (existsSync(defaultFile) ? defaultFile : undefined);
  const config = await configOf({ ...options, config: file });
  const beside = file === undefined ? "." : dirname(file);
  const folder = options.state === undefined ? (config.state?.folder ?? resolve(beside, defaultState)) : resolve(options.state);
  const named = { ...config, state: { ...config.state, folder }, ...(options.name === undefined ? {} : { name: options.name }) };
  return parseConfig(named, "the options of the command line");
}

async function printSchema(terminal: Terminal): Promise<number> {
  const { configJsonSchema } = await import("../../adapters/executor/index.ts");
  terminal.json(configJsonSchema());
  return exitCodes.ok;
}

function printConfig(terminal: Terminal, config: ServiceConfig): number {
  // Wherever a token stands in a configuration, it stands under this key.
  const shown = JSON.stringify(config, (key, value: unknown) => (key === "token" && typeof value === "string" ? "(hidden)" : value));
  terminal.json(JSON.parse(shown));
  return exitCodes.ok;
}

function printStart(terminal: Terminal, { service, backends, generalWarnings, tools, url }: StartedService, config: ServiceConfig): void {
  for (const { backend, status, version, reason, advice } of backends) {
    const state = status === "ready" ? styled("green", "ready") : styled("red", "unavailable");
    const why = [reason, advice].filter((text) => text !== undefined).join("; ");
    terminal.print(`backend ${backend}: `, state, version === undefined ? "" : ` (${version})`, status === "ready" ? "" : `: ${why}`);
  }
  terminal.print(`state: ${config.state?.folder ?? "in memory"}`);
  if (service.lost.length > 0) {
    const mayHaveStarted = service.lost.filter(({ hasStarted }) => hasStarted).length;
    terminal.print(`an earlier process had not ended ${service.lost.length} executions, of which ${mayHaveStarted} may have started`);
  }
  for (const { backend, removed } of service.reaped) terminal.print(`removed what it had left in ${backend}: ${summary(removed)}`);
  for (const warning of generalWarnings) terminal.note(styled("yellow", "warning: "), warning);
  const about = `profile ${config.security}, ${tools.list().length} tools`;
  terminal.print(styled("green", "listening "), `on ${url} as node ${service.name}, ${about}; Ctrl-C drains it`);
}

const maxShown = 10;

function summary(removed: readonly string[]): string {
  const more = removed.length - maxShown;
  return `${removed.slice(0, maxShown).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
