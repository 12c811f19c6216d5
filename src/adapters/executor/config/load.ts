import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { formatProblems, problemsOf } from "../../../internal/zod-problem.ts";
import { resolveFolders } from "./backends.ts";
import { configError, reasonOf } from "./errors.ts";
import { configSchema, type ServiceConfig } from "./schema.ts";

/**
 * Checks a configuration and fills in what it leaves out.
 *
 * @throws `ERR_CONFIG_INVALID`, which names the source and the key.
 */
export function parseConfig(value: unknown, source = "configuration"): ServiceConfig {
  const parsed = configSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw configError(source, formatProblems(problemsOf(configSchema, parsed.error)));
}

/** Reads a configuration from a JSON file; the paths in it are relative to the file. @throws `ERR_CONFIG_INVALID`. */
export async function loadConfig(file: string): Promise<ServiceConfig> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    const why = error instanceof SyntaxError ? `it is not JSON: ${error.message}` : `it cannot be read: ${reasonOf(error)}`;
    throw configError(file, why, error);
  }
  const config = parseConfig(value, file);
  const at = (path: string): string => resolve(dirname(file), path);
  return {
    ...config,
    ...(config.tools === undefined ? {} : { tools: at(config.tools) }),
    ...(config.audit === undefined ? {} : { audit: { file: at(config.audit.file) } }),
    backends: resolveFolders(config.backends, at),
    tokens: config.tokens.map((token) => (token.file === undefined ? token : { ...token, file: at(token.file) })),
  };
}
