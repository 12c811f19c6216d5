import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseConfig } from "../src/adapters/executor/index.ts";
import { defineCommand } from "../src/cli/command.ts";
import { parsePort, startService, untilStopped } from "../src/cli/run-service.ts";
import { shellWord } from "../src/cli/shell-word.ts";
import { openTerminal, styled, type Piece, type Terminal } from "../src/cli/terminal.ts";
import { formatLimit, type LimitReceipt } from "../src/limits.ts";
import type { Registry } from "../src/registry.ts";
import { problemSchema, resultSchema, type WireResult } from "../src/wire.ts";

const samples = fileURLToPath(new URL("../examples/tools", import.meta.url));

const notes = `Starts the service with the WebAssembly backend and the tools of examples/tools, runs one of them over HTTP, prints
the request and the answer with its receipt, and stays up until Ctrl-C. A taken port, a missing folder or a bad
configuration gives one line and exit code 1.

Examples:
  npm start
  npm start -- --port 9000`;

export const demo = defineCommand({
  meta: { name: "npm start --", description: "Serves the sample tools on this machine and calls one of them" },
  args: {
    port: { type: "string", description: "The port; 8787 where none is named, 0 for any that is free", valueHint: "number" },
    tools: { type: "string", description: "Another folder of tools", valueHint: "folder" },
  },
  notes,
  run: async ({ args: { port, tools = samples } }) => {
    const terminal = openTerminal();
    const config = parseConfig({
      // The other profiles want a token, which nobody has at a first start.
      security: "dev",
      tools,
      log: { level: "error" },
      ...(port === undefined ? {} : { port: parsePort(port) }),
    });
    const started = await terminal.progress("Starting", startService(config));
    // Before anybody can read that it serves: from then on a signal drains.
    const stopped = untilStopped(terminal, started);
    const { url, warnings } = started;
    terminal.print(
      styled("bold", "toolruntime"),
      " serves on ",
      styled("cyan", url),
      ` the tools of ${relative(process.cwd(), tools) || "."}: `,
    );
    printTools(terminal, started.tools);
    terminal.print();
    terminal.print(styled("yellow", "profile dev: "), "whoever can reach this port may run tools; the receipts say what held them");
    for (const warning of warnings) terminal.print("  ", warning);
    for (const { error } of started.tools.problems()) terminal.print(styled("yellow", "broken: "), error.message);
    const call = chooseCall(started.tools);
    if (call === undefined) terminal.print("No tool there has an example that could be called");
    else await showCall(terminal, url, call);
    terminal.print("Stop it with Ctrl-C");
    return stopped;
  },
});

function printTools(terminal: Terminal, tools: Registry): void {
  const all = tools.list().map(({ manifest }) => manifest);
  const names = (some: typeof all): string => some.map(({ name }) => name).join(", ") || "none";
  const foreign = all.filter(({ artifacts }) => artifacts.wasm === undefined);
  terminal.print("  ", names(all.filter((one) => !foreign.includes(one))));
  if (foreign.length > 0)
    terminal.print(styled("dim", `  host commands, refused here: ${names(foreign)}; "toolruntime serve --allow-unsafe" takes them`));
}

interface DemoCall {
  readonly tool: string;
  readonly input: unknown;
}

/** Those that show most, first; any other tool with an example that needs no file. */
const preferred: readonly string[] = ["csv-aggregate", "markdown-to-html"];

function chooseCall(tools: Registry): DemoCall | undefined {
  const calls = tools.list().flatMap(({ manifest }): DemoCall[] => {
    const example = manifest.artifacts.wasm === undefined ? undefined : manifest.examples?.find(({ files }) => files === undefined);
    return example === undefined ? [] : [{ tool: manifest.name, input: example.input }];
  });
  const best = preferred.flatMap((name) => calls.find(({ tool }) => tool === name) ?? []);
  return best[0] ?? calls[0];
}

async function showCall(terminal: Terminal, url: string, call: DemoCall): Promise<void> {
  const body = JSON.stringify(call);
  terminal.print();
  terminal.print(styled("bold", "Request"), "  POST /v1/executions");
  printBlock(terminal, JSON.stringify(call, undefined, 2));
  const startedAt = performance.now();
  const response = await fetch(`${url}/v1/executions`, { method: "POST", headers: { "content-type": "application/json" }, body });
  const answer: unknown = await response.json();
  const ms = Math.round(performance.now() - startedAt);
  terminal.print();
  terminal.print(styled("bold", "Answer"), `   ${response.status} in ${ms} ms`);
  const result = resultSchema.safeParse(answer);
  if (result.success) printResult(terminal, result.data);
  else printProblem(terminal, answer);
  terminal.print(styled("bold", "Call it yourself"));
  terminal.print(`  curl ${url}/v1/executions -H 'content-type: application/json' -d ${shellWord(body)}`);
  terminal.print();
}

function printProblem(terminal: Terminal, answer: unknown): void {
  const problem = problemSchema.safeParse(answer);
  const text = problem.success ? `${problem.data.code}: ${problem.data.detail}` : JSON.stringify(answer);
  terminal.print(styled("red", "  the call failed: "), text);
  terminal.print();
}

function printResult(terminal: Terminal, result: WireResult): void {
  const { output, exitCode, duration, backend, limits, stderr } = result;
  terminal.print(
    `  exit code ${exitCode}, ${duration.toFixed(1)} ms, backend ${backend.name}, isolation ${backend.isolation}, network ${backend.network}`,
  );
  printBlock(terminal, typeof output === "string" ? output : JSON.stringify(output, undefined, 2));
  if (stderr !== "") printBlock(terminal, stderr);
  terminal.print();
  terminal.print(styled("bold", "Receipt"), "  what was enforced, read back from what enforces it");
  terminal.table([
    ["  limit", "requested", "applied", "enforced by", "peak", "hit"].map((text) => styled("dim", text)),
    ...limits.map(receiptRow),
  ]);
  terminal.print();
}

function receiptRow({ limit, requested, applied, enforcedBy, peak, hit }: WireResult["limits"][number]): Piece[] {
  const show = (value: LimitReceipt["peak"]): string => (value === undefined ? "-" : value === 0 ? "0" : formatLimit(limit, value));
  const by = enforcedBy === "none" ? styled("yellow", "nothing") : enforcedBy;
  return [`  ${limit}`, show(requested), show(applied), by, show(peak), hit];
}

const maxLines = 12;

function printBlock(terminal: Terminal, text: string): void {
  const lines = text.trimEnd().split("\n");
  for (const line of lines.slice(0, maxLines)) terminal.print("    ", line);
  if (lines.length > maxLines) terminal.print(styled("dim", `    … ${lines.length - maxLines} more lines`));
}
