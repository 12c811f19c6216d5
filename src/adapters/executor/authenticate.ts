import { anyone, bearerTokens, firstOf, type Authenticator } from "../../edge/index.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { ServiceConfig } from "./config/schema.ts";
import { resolveTokens } from "./config/tokens.ts";
import { openTrustedKeys, type TrustedKeysOptions } from "./trusted-keys.ts";

const loopback: ReadonlySet<string> = new Set(["127.0.0.1", "::1", "localhost"]);

export function isLoopback(host: string): boolean {
  return loopback.has(host);
}

/** Says who calls, as a configuration has it. */
export interface ServiceAuthentication {
  readonly authenticate: Authenticator;
  readonly warnings: readonly string[];
  reload(): Promise<void>;
  close(): void;
}

export interface AuthenticationOptions extends Pick<TrustedKeysOptions, "name" | "onReload"> {
  readonly config: ServiceConfig;
  /** Where tokens named by a variable are looked up. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** @throws `ERR_CONFIG_INVALID`. */
export async function openAuthentication({ config, env, name, onReload }: AuthenticationOptions): Promise<ServiceAuthentication> {
  const warnings = tlsWarnings(config);
  const tokens = await resolveTokens(config.tokens, env);
  const { keys, state } = config;
  const trusted = keys === undefined ? undefined : await openTrustedKeys({ config: keys, name, folder: state?.folder, onReload });
  const reload = async (): Promise<void> => trusted?.reload();
  const close = (): void => trusted?.close();
  // A static token that is known is found in a map; only what is none of them is read as a signed one.
  const [first, ...others] = [
    ...(tokens.length === 0 ? [] : [bearerTokens(tokens)]),
    ...(trusted === undefined ? [] : [trusted.authenticate]),
  ];
  if (first !== undefined) return { authenticate: firstOf(first, ...others), warnings, reload, close };
  if (config.security !== "dev") throw configError(`profile "${config.security}" needs at least one token under "tokens", or "keys"`);
  if (!isLoopback(config.host)) throw configError(`it would listen on ${config.host} without a token; configure one under "tokens"`);
  const warning = "No token is configured: everybody on this machine may run tools; fit for development only";
  return { authenticate: anyone(), warnings: [...warnings, warning], reload, close };
}

/** In `hardened` both ends show a certificate. @throws `ERR_CONFIG_INVALID`. */
function tlsWarnings({ security, host, tls }: ServiceConfig): string[] {
  if (security !== "hardened" || tls?.clientCaFile !== undefined) return [];
  if (isLoopback(host)) {
    return [
      `Profile "hardened" without mutual TLS: whoever runs on this machine can reach the service; configure "tls" with "clientCaFile"`,
    ];
  }
  throw configError(
    `profile "hardened" would listen on ${host} without mutual TLS; configure "tls" with "certFile", "keyFile" and "clientCaFile"`,
  );
}

function configError(problem: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot start the service: ${problem}`);
}
