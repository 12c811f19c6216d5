import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { ToolRuntimeError } from "../../errors.ts";
import { checkBindings, checkSharing } from "./bindings.ts";
import { checkBuiltTools, toolsFolderIn } from "./built-tools.ts";
import { checkBundle } from "./bundle.ts";
import { aliases } from "./contract.ts";
import { problem, type Finding } from "./finding.ts";
import { checkLocalSecrets } from "./local-secrets.ts";
import { checkPlatform, checkVersion } from "./platform.ts";
import { checkProfile, checkSecrets, checkVariables } from "./secrets.ts";
import { findWrangler, type Wrangler, type WranglerConfig } from "./wrangler.ts";

export interface CheckOptions {
  /** The configuration; the first of wrangler's own names that is here, where none is named. */
  readonly config: string | undefined;
  /** One environment; all where none is named. The one without a name is the empty text. */
  readonly environment: string | undefined;
  /** The folder that the tools were built from; what the build command says where none is named. */
  readonly tools: string | undefined;
  /** `2026-11-22`. */
  readonly today: string;
}

export interface Report {
  readonly config: string;
  readonly environments: readonly string[];
  readonly findings: readonly Finding[];
}

const configNames = ["wrangler.toml", "wrangler.jsonc", "wrangler.json"];

/** @throws `ERR_CONFIG_INVALID` where there is no configuration. */
export function findConfig(named: string | undefined): string {
  const found = named ?? configNames.find((name) => existsSync(name));
  if (found !== undefined && existsSync(found)) return resolve(found);
  const state = named === undefined ? `there is none of ${configNames.join(", ")}` : `there is no file "${named}"`;
  throw new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot check the deployment: ${state}; name one with --config`);
}

interface Read {
  readonly environment: string;
  readonly config: WranglerConfig;
}

/** Reads the environments that are asked for. What wrangler has against the file is a finding. */
function readEnvironments(
  wrangler: Wrangler,
  file: string,
  wanted: string | undefined,
): { readonly read: Read[]; readonly findings: Finding[] } {
  const read: Read[] = [];
  const findings: Finding[] = [];
  const readOne = (environment: string): WranglerConfig | undefined => {
    try {
      const config = wrangler.readConfig(file, environment);
      // Wrangler takes one that it does not find for the one without a name, where there are no others.
      if (environment === "" || config.definedEnvironments?.includes(environment) === true) read.push({ environment, config });
      else findings.push({ ...problem({ check: "configuration", says: `there is no environment "${environment}"` }), environment });
      return config;
    } catch (error) {
      findings.push({ ...problem({ check: "configuration", says: oneLine(error) }), environment });
      return undefined;
    }
  };
  const first = readOne(wanted ?? "");
  if (wanted === undefined) for (const environment of first?.definedEnvironments ?? []) readOne(environment);
  return { read, findings };
}

function oneLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replaceAll(/\s+/g, " ").trim().slice(0, 500);
}

/** Checks what can be checked of a deployment without an account. Deploys nothing. */
export async function checkCloudflare(options: CheckOptions): Promise<Report> {
  const file = findConfig(options.config);
  const folder = dirname(file);
  const wrangler = await findWrangler(folder).catch((error: unknown) => oneLine(error));
  if (typeof wrangler === "string") {
    const next = "npm install --save-dev wrangler@4";
    return { config: file, environments: [], findings: [problem({ check: "wrangler", says: wrangler, next })] };
  }
  const { read, findings } = readEnvironments(wrangler, file, options.environment);
  const shared = [checkVersion(wrangler.version), ...checkLocalSecrets(file), ...checkSharing(read)];
  const each: Finding[] = [];
  for (const { environment, config } of read) {
    const index = indexOf(config, folder);
    const found = [
      ...checkPlatform(config, options.today),
      checkProfile(config),
      ...checkVariables(config),
      ...checkBindings(config),
      // It builds the tools where the configuration says how, so they are looked at afterwards.
      ...(await checkBundle({ wrangler, file, environment, index })),
      ...(await checkBuiltTools({ index, tools: toolsFolder(options, config, folder) })),
      ...checkSecrets(config, environment),
    ];
    each.push(...found.map((finding) => ({ ...finding, environment })));
  }
  return { config: file, environments: read.map(({ environment }) => environment), findings: [...shared, ...findings, ...each] };
}

function indexOf({ alias }: WranglerConfig, folder: string): string | undefined {
  const path = alias?.[aliases.tools];
  return path === undefined ? undefined : resolve(folder, path);
}

function toolsFolder({ tools }: CheckOptions, { build }: WranglerConfig, folder: string): string | undefined {
  if (tools !== undefined) return resolve(tools);
  const named = toolsFolderIn(build?.command);
  return named === undefined ? undefined : resolve(folder, named);
}
