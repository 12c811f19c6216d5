import type { Backend, Capability, Probe } from "../../backend.ts";
import { toToolRuntimeError } from "../../errors.ts";
import { limitNames } from "../../limits.ts";
import { securityProfiles, type SecurityProfile } from "../../profile.ts";
import { backendNames, openBackend, parseBackendName, type BackendName } from "../backends.ts";
import { defineCommand, valuesOf } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { servedBy } from "../served-profiles.ts";
import { openTerminal, styled, type Piece, type Terminal } from "../terminal.ts";

const notes = `With --prove it does not ask but try: on each backend, in each profile, it runs what a hostile tool would, and says what is
declared, what held, by which mechanism and in what time. That takes minutes, and as root it tries what needs root. Images are for
docker, containerd and gvisor: one that is there already and has Node and a shell. Ctrl-C ends it after the case that runs, and prints
what there is.

Exit codes: 0 where at least one backend is ready, or all that was tried held; 1 otherwise; 130 after Ctrl-C.

Examples:
  toolruntime doctor
  toolruntime doctor --json | jq '.backends[] | select(.status == "ready") | .name'
  toolruntime doctor --prove --backend wasm
  toolruntime doctor --prove --limits-only --json > report.json
  toolruntime doctor --prove --backend docker --image my-node:22 --image-node /usr/local/bin/node
  toolruntime doctor --prove --sign ./proof-key.json --out ./proof.jws
  toolruntime doctor --verify ./proof.jws --trusted ./jwks.json`;

// The parser wants an array that it could change.
const profileNames: SecurityProfile[] = [...securityProfiles];

const args = {
  json: { type: "boolean", description: "Print the findings as JSON" },
  prove: { type: "boolean", description: "Try what is declared: the conformance suite and the abuse corpus" },
  backend: { type: "string", description: "Only this backend; may be repeated", valueHint: "name" },
  security: { type: "enum", options: profileNames, description: "Only this profile" },
  "limits-only": { type: "boolean", description: "Only what drives a tool into a limit" },
  image: { type: "string", description: "What the attacks run in on docker, containerd and gvisor", valueHint: "reference" },
  "image-node": { type: "string", default: "/usr/bin/node", description: "Where Node is in the image", valueHint: "path" },
  "accept-engine": { type: "string", description: "Takes an engine below its floor; may be repeated", valueHint: "name@version" },
  sign: { type: "string", description: "Signs the report with this private key (see toolruntime keys create)", valueHint: "file" },
  out: { type: "string", description: "Writes the report, signed where --sign is there, to a file too", valueHint: "file" },
  verify: { type: "string", description: "Checks a signed report and prints it", valueHint: "file" },
  trusted: { type: "string", description: "The public keys that --verify takes", valueHint: "file" },
} as const;

export const doctor = defineCommand({
  meta: { name: "toolruntime doctor", description: "Says which backends are ready here and which limits each enforces, and proves it" },
  args,
  notes,
  run: async ({ args: options, rawArgs }) => {
    const terminal = openTerminal();
    const isJson = options.json === true;
    if (options.verify !== undefined) {
      const { verifyReport } = await import("../prove/command.ts");
      return verifyReport(terminal, options.verify, { trusted: options.trusted, isJson });
    }
    const backends = valuesOf(rawArgs, args, "backend").map(parseBackendName);
    if (options.prove !== true) return examine(terminal, isJson, backends.length === 0 ? backendNames : backends);
    const { image, security, sign, out } = options;
    const { proveHere } = await import("../prove/command.ts");
    return proveHere(terminal, {
      backends: backends.length === 0 ? backendNames : backends,
      profiles: security === undefined ? securityProfiles : [security],
      limitsOnly: options["limits-only"] === true,
      image: image === undefined ? undefined : { reference: image, node: options["image-node"], shell: "/bin/sh" },
      acceptEngines: valuesOf(rawArgs, args, "accept-engine"),
      isJson,
      sign,
      out,
    });
  },
});

interface Finding extends Omit<Probe, "capabilities" | "validForMs"> {
  readonly name: BackendName;
  readonly capabilities: readonly (Omit<Capability, "profiles"> & { readonly serves: readonly SecurityProfile[] })[];
}

async function examine(terminal: Terminal, isJson: boolean, backends: readonly BackendName[]): Promise<number> {
  const findings = await terminal.progress("Asking the backends", Promise.all(backends.map(find)));
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
