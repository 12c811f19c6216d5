import type { Backend, Capability, Probe } from "../../backend.ts";
import { toToolRuntimeError } from "../../errors.ts";
import { limitNames } from "../../limits.ts";
import type { SecurityProfile } from "../../profile.ts";
import { backendNames, openBackend, type BackendName } from "../backends.ts";
import { defineCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { servedBy } from "../served-profiles.ts";
import { openTerminal, styled, type Piece, type Terminal } from "../terminal.ts";

const notes = `Exit codes: 0 where at least one backend is ready, 1 where none is.

Examples:
  toolruntime doctor
  toolruntime doctor --json | jq '.backends[] | select(.status == "ready") | .name'`;

const args = {
  json: { type: "boolean", description: "Print the findings as JSON" },
} as const;

export const doctor = defineCommand({
  meta: { name: "toolruntime doctor", description: "Says which backends are ready here, and which limits each enforces" },
  args,
  notes,
  run: async ({ args: options }) => examine(openTerminal(), options.json === true),
});

interface Finding extends Omit<Probe, "capabilities" | "validForMs"> {
  readonly name: BackendName;
  readonly capabilities: readonly (Omit<Capability, "profiles"> & { readonly serves: readonly SecurityProfile[] })[];
}

async function examine(terminal: Terminal, isJson: boolean): Promise<number> {
  const findings = await terminal.progress("Asking the backends", Promise.all(backendNames.map(find)));
  const host = { node: process.version, platform: `${process.platform} ${process.arch}` };
  if (isJson) terminal.json({ ...host, backends: findings });
  else {
    terminal.print(styled("dim", `Node ${host.node} on ${host.platform}`));
    for (const finding of findings) printFinding(terminal, finding);
  }
  return findings.some(({ status }) => status === "ready") ? exitCodes.ok : exitCodes.failed;
}

/** A backend that cannot even be loaded is one that is not ready. */
async function find(name: BackendName): Promise<Finding> {
  let backend: Backend | undefined;
  try {
    backend = await openBackend(name, { allowsUnsafe: true, needsProcesses: true, warn: () => undefined });
    const { capabilities, validForMs: _, ...probe } = await backend.probe();
    const served = capabilities.map(({ profiles: _profiles, ...one }) => ({ ...one, serves: servedBy({ ...one, profiles: _profiles }) }));
    return { name, ...probe, capabilities: served };
  } catch (error) {
    return { name, status: "unavailable", reason: toToolRuntimeError(error).message, capabilities: [] };
  } finally {
    await backend?.close();
  }
}

function printFinding(terminal: Terminal, { name, status, version, reason, advice, notes: remarks, capabilities }: Finding): void {
  const state = status === "ready" ? styled("green", "ready") : styled("red", "unavailable");
  terminal.print();
  terminal.print(styled("bold", name), ": ", state, version === undefined ? "" : ` (${version})`);
  if (reason !== undefined) terminal.print("  why: ", reason);
  if (advice !== undefined) terminal.print("  what to do: ", advice);
  for (const { artifact, isolation, serves, limits, network } of capabilities) {
    const wall = isolation === "none" ? styled("yellow", "none") : isolation;
    terminal.print(`  ${artifact}: isolation `, wall, `, serves ${serves.join(", ") || "no profile"}, network ${network}`);
    const rows = limitNames.map((limit): Piece[] => {
      const by = limit === "output" ? "runtime" : limits[limit]?.by;
      return [`    ${limit}`, by ?? styled("yellow", "not enforced")];
    });
    terminal.table(rows);
  }
  for (const remark of remarks ?? []) terminal.print("  note: ", remark);
  if (name === "unsafe" && status === "ready") terminal.print("  note: it is used only with --allow-unsafe, in profile dev");
}
