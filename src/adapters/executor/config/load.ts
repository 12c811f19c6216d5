import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { resolveFolders } from "./backends.ts";
import { parseDocument } from "./document.ts";
import { configError, reasonOf } from "./errors.ts";
import { problemsOf, type ConfigProblem } from "./problems.ts";
import { resolveAnnounce } from "./remote.ts";
import { configSchema, type ServiceConfig } from "./schema.ts";
import { resolveTrust } from "./trust.ts";

/**
 * Checks a configuration and fills in what it leaves out.
 *
 * @throws `ERR_CONFIG_INVALID`, which names the source and the key.
 */
export function parseConfig(value: unknown, source = "configuration"): ServiceConfig {
  return checkConfig(value, () => source);
}

/** Several problems come in one error, each with where it is. */
function checkConfig(value: unknown, locate: (path: ConfigProblem["path"]) => string): ServiceConfig {
  const parsed = configSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [first, ...others] = problemsOf(configSchema, parsed.error);
  const rest = others.map(({ path, sentence }) => `; ${locate(path)}: ${sentence}`).join("");
  throw configError(locate(first?.path ?? []), `${first?.sentence ?? "it is wrong"}${rest}`);
}

/**
 * Reads a configuration from a file: JSON, in which comments and trailing commas may stand. The paths in it are relative
 * to the file.
 *
 * @throws `ERR_CONFIG_INVALID`, which names file, line, column and key.
 */
export async function loadConfig(file: string): Promise<ServiceConfig> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw configError(file, `it cannot be read: ${reasonOf(error)}`, error);
  });
  const { value, locate } = parseDocument(text, file);
  const config = checkConfig(value, locate);
  const at = (path: string): string => resolve(dirname(file), path);
  return {
    ...config,
    ...(config.tools === undefined ? {} : { tools: at(config.tools) }),
    ...(config.state === undefined ? {} : { state: { ...config.state, folder: at(config.state.folder) } }),
    ...(config.blobs?.folder === undefined ? {} : { blobs: { ...config.blobs, folder: at(config.blobs.folder) } }),
    ...(config.audit === undefined ? {} : { audit: { file: at(config.audit.file) } }),
    ...resolveTrust(config, at),
    ...(config.announce === undefined ? {} : { announce: resolveAnnounce(config.announce, at) }),
    backends: resolveFolders(config.backends, at),
    tokens: config.tokens.map((token) => (token.file === undefined ? token : { ...token, file: at(token.file) })),
  };
}
