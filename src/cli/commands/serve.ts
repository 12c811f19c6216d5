import { defineCommand } from "../command.ts";
import { configOf, serviceArgs } from "../service-options.ts";
import { openTerminal, styled } from "../terminal.ts";

const notes = `The configuration is a JSON file; the options win over it. Without a token the service answers on a loopback address
only, and in profile dev only. The log goes to stderr, one JSON object a line. SIGTERM or Ctrl-C takes no new work and
lets what runs end; a second signal ends it at once. A bad configuration or a taken port gives exit code 1.

Examples:
  toolruntime serve --tools ./tools --security dev
  toolruntime serve --config ./toolruntime.json
  openssl rand -hex 32 > token && toolruntime serve --tools ./tools --token-file ./token
  curl http://127.0.0.1:8787/v1/executions -H 'content-type: application/json' -d '{"tool":"hash","input":{"text":"a"}}'`;

export const serve = defineCommand({
  meta: { name: "toolruntime serve", description: "Serves the tools of a folder over HTTP" },
  args: serviceArgs,
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
