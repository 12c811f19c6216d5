import { dirname } from "node:path";
import { defineCommand } from "../command.ts";
import { checkCloudflare, findConfig, type CheckOptions, type Report } from "../deploy/cloudflare.ts";
import type { Finding } from "../deploy/finding.ts";
import { deploySteps } from "../deploy/steps.ts";
import { findWrangler } from "../deploy/wrangler.ts";
import { exitCodes } from "../exit-codes.ts";
import { openTerminal, styled, type Piece, type Terminal } from "../terminal.ts";

const notes = `Checks, with --dry-run, what can be checked without an account: wrangler and its version, the configuration of each environment
and its bindings as the worker expects them, that no secret is among the variables, that the tools are built of what their
manifests name, the bundle by "wrangler deploy --dry-run", and its size. Says which secrets must be set. Nothing is deployed, and
nothing leaves this machine.

Exit codes: 0 where there is no problem, 1 where there is one.

Examples:
  toolruntime deploy cloudflare --dry-run
  toolruntime deploy cloudflare --dry-run --env production --json | jq '.findings[] | select(.status == "problem")'`;

const args = {
  "dry-run": { type: "boolean", description: "Check, and deploy nothing" },
  config: { type: "string", description: "wrangler's configuration; the one in this folder where none is named", valueHint: "file" },
  env: { type: "string", description: "One environment; all where none is named", valueHint: "name" },
  tools: {
    type: "string",
    description: "The folder that the tools are built from; what the configuration says where none is named",
    valueHint: "folder",
  },
  json: { type: "boolean", description: "Print the findings as JSON" },
} as const;

const cloudflare = defineCommand({
  meta: { name: "toolruntime deploy cloudflare", description: "Checks a deployment to Cloudflare Workers" },
  args,
  notes,
  run: async ({ args: options }) => {
    const terminal = openTerminal();
    const { config, env: environment, tools } = options;
    const wanted: CheckOptions = { config, environment, tools, today: new Date().toISOString().slice(0, 10) };
    if (options["dry-run"] !== true) return sayHow(terminal, wanted);
    const report = await terminal.progress("Checking the deployment", checkCloudflare(wanted));
    if (options.json === true) terminal.json({ ...report, count: countOf(report.findings) });
    else printReport(terminal, report);
    return report.findings.some(({ status }) => status === "problem") ? exitCodes.failed : exitCodes.ok;
  },
});

export const deploy = defineCommand({
  meta: { name: "toolruntime deploy", description: "Checks a deployment to a platform" },
  notes: `Examples:
  toolruntime deploy cloudflare --dry-run`,
  subCommands: { cloudflare },
});

/** Whoever asked for a deployment must not take this for one. */
async function sayHow(terminal: Terminal, { config, environment = "production" }: CheckOptions): Promise<number> {
  const file = findConfig(config);
  const wrangler = await findWrangler(dirname(file));
  terminal.note("toolruntime does not deploy by itself. Check with --dry-run, and then run:");
  for (const step of deploySteps(wrangler.readConfig(file, environment), environment)) terminal.print(`  ${step}`);
  return exitCodes.failed;
}

const styles = { ok: "green", advice: "yellow", problem: "red" } as const;

function countOf(findings: readonly Finding[]): Readonly<Record<Finding["status"], number>> {
  const count = (status: Finding["status"]): number => findings.filter((finding) => finding.status === status).length;
  return { ok: count("ok"), advice: count("advice"), problem: count("problem") };
}

function printReport(terminal: Terminal, { config, environments, findings }: Report): void {
  terminal.print(styled("dim", config));
  printGroup(terminal, undefined, findings);
  for (const environment of new Set([...environments, ...findings.flatMap(({ environment }) => environment ?? [])])) {
    printGroup(terminal, environment, findings);
  }
  const { problem, advice } = countOf(findings);
  terminal.print();
  const verdict = problem === 0 ? styled("green", "no problem") : styled("red", problem === 1 ? "1 problem" : `${problem} problems`);
  terminal.print(verdict, `, ${advice === 1 ? "1 advice" : `${advice} pieces of advice`}; nothing was deployed`);
}

function printGroup(terminal: Terminal, environment: string | undefined, findings: readonly Finding[]): void {
  const own = findings.filter((finding) => finding.environment === environment);
  if (own.length === 0) return;
  terminal.print();
  if (environment !== undefined)
    terminal.print(styled("bold", environment === "" ? "the environment without a name" : `env.${environment}`));
  const rows = own.flatMap(({ status, check, says, next }): Piece[][] => [
    [styled(styles[status], status), check, says],
    ...(next === undefined ? [] : [["", "", styled("dim", `→ ${next}`)]]),
  ]);
  terminal.table(rows);
}
