import { didYouMean } from "../../internal/nearest.ts";
import { securityProfiles } from "../../profile.ts";
import { secrets, variables } from "./contract.ts";
import { advice, ok, problem, type Finding } from "./finding.ts";
import { environmentFlag, type WranglerConfig } from "./wrangler.ts";

const secretNames: readonly string[] = Object.values(secrets);
const known: readonly string[] = [...Object.values(variables), ...secretNames];
const looksSecret = /token|secret|passw|credential|(?:^|_)key(?:_|$)|private/i;

/** Variables stand in the file and in the dashboard, where everybody reads them. */
export function checkVariables({ vars }: WranglerConfig): Finding[] {
  const found = Object.keys(vars).flatMap((name): Finding[] => {
    const check = `vars.${name}`;
    if (secretNames.includes(name) || looksSecret.test(name)) {
      const says = "a secret must not be a variable: it stands in the file for all to read";
      return [problem({ check, says, next: `take it out, give it another value, and npx wrangler secret put ${name}` })];
    }
    if (name.startsWith("TOOLRUNTIME_") && !known.includes(name)) {
      return [problem({ check, says: `the worker knows no such variable${didYouMean(name, known)}` })];
    }
    return [];
  });
  return found.length === 0 ? [ok("vars", "no secret among them")] : found;
}

/** The profile of an environment; the worker's own default where it names none. */
export function profileOf({ vars }: WranglerConfig): string {
  const value = vars[variables.security];
  return value === undefined || value === "" ? "standard" : String(value);
}

export function checkProfile(config: WranglerConfig): Finding {
  const check = variables.security;
  const profile = profileOf(config);
  if (!securityProfiles.some((name) => name === profile)) {
    return problem({ check, says: `there is no profile "${profile}"${didYouMean(profile, securityProfiles)}` });
  }
  if (profile === "dev") {
    return advice({
      check,
      says: '"dev" is for this machine: without tokens the deployed worker answers nobody',
      next: "deploy a named environment",
    });
  }
  if (profile === "hardened") return advice({ check, says: '"hardened": the worker itself runs no tool, all go to executor nodes' });
  return ok(check, profile);
}

/** What only an account can tell; by name, with the command. */
export function checkSecrets(config: WranglerConfig, environment: string): Finding[] {
  const put = (name: string): string => `npx wrangler secret put ${name} ${environmentFlag(environment)}`;
  const tokens = advice({
    check: secrets.tokens,
    says: `must be set, or ${secrets.keys}: who may call. Whether it is, only the account knows`,
    next: put(secrets.tokens),
  });
  const nodes = advice({
    check: secrets.nodes,
    says: profileOf(config) === "hardened" ? "must be set: the executor nodes" : "to be set where executor nodes stand behind the worker",
    next: put(secrets.nodes),
  });
  return profileOf(config) === "dev" ? [] : [tokens, nodes];
}
