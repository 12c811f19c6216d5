import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { ToolRuntimeError } from "../../errors.ts";
import { formatProblems, problemsOf } from "../../internal/zod-problem.ts";
import { securityProfiles } from "../../profile.ts";
import { resourcesSchema } from "../../wire.ts";
import { scopes, type BearerToken } from "../../edge/index.ts";

const bytes = z.int().positive();
const ms = z.int().positive();

const tokenSchema = z
  .strictObject({
    token: z.string().exactOptional().describe("The token itself; better one of the other two"),
    file: z.string().min(1).exactOptional().describe("A file that holds the token and nothing else"),
    env: z.string().min(1).exactOptional().describe("The environment variable that holds it"),
    principal: z.string().min(1).max(200),
    tenant: z.string().min(1).max(200).default("default"),
    scopes: z.array(z.enum(scopes)).min(1).exactOptional(),
  })
  .refine((token) => ["token", "file", "env"].filter((key) => key in token).length === 1, "must have exactly one of token, file and env");

const wasmSchema = z.strictObject({
  maxArtifactBytes: bytes.exactOptional(),
  maxCacheBytes: bytes.exactOptional(),
  maxPoolBytes: bytes.exactOptional(),
  components: z
    .strictObject({
      cacheFolder: z.string().min(1).exactOptional().describe("Keeps what was transpiled from one start to the next"),
      timeoutMs: ms.exactOptional(),
      maxCacheBytes: bytes.exactOptional(),
    })
    .exactOptional(),
  maxCompileMs: ms.exactOptional(),
  maxInstances: z.int().positive().exactOptional(),
  process: z
    .strictObject({
      maxChildren: z.int().positive().exactOptional(),
      spares: z.int().min(0).exactOptional(),
      idleMs: ms.exactOptional(),
      maxRuns: z.int().positive().exactOptional(),
    })
    .exactOptional()
    .describe("Gives each tool a process of its own, for profile hardened; on by itself where the service has that profile"),
});

const unsafeSchema = z.strictObject({
  acceptUnsafe: z.boolean().describe("Must be true: tools run as this user, without a sandbox"),
  path: z.string().exactOptional(),
  scratch: z.string().exactOptional(),
  processTree: z.enum(["auto", "group"]).exactOptional(),
  maxOutputBytes: bytes.exactOptional(),
});

const dockerSchema = z.strictObject({
  socketPath: z.string().min(1).exactOptional().describe("The daemon's Unix socket, on this host"),
  acceptEngines: z.array(z.string()).exactOptional().describe('Engines below their floor that are taken all the same: "runc@1.1.5"'),
  scratch: z.string().exactOptional(),
  maxContainers: z.int().positive().exactOptional(),
  maxOutputBytes: bytes.exactOptional(),
});

const concurrencySchema = z.strictObject({ running: z.int().positive(), queued: z.int().min(0) });

export const configSchema = z.strictObject({
  $schema: z.string().exactOptional(),
  host: z.string().min(1).default("127.0.0.1"),
  port: z.int().min(0).max(65_535).default(8787),
  security: z.enum(securityProfiles).default("standard"),
  backends: z
    .strictObject({ wasm: wasmSchema.exactOptional(), unsafe: unsafeSchema.exactOptional(), docker: dockerSchema.exactOptional() })
    .refine((backends) => Object.keys(backends).length > 0, "must name at least one backend")
    .prefault({ wasm: {} }),
  tools: z.string().min(1).exactOptional().describe("The folder of tools"),
  watch: z.boolean().exactOptional().describe("Follow changes of the tools on disk"),
  tokens: z.array(tokenSchema).default([]),
  hosts: z
    .union([z.literal("any"), z.array(z.string().min(1))])
    .exactOptional()
    .describe("Values of Host that are answered, without a port"),
  origins: z.array(z.url()).default([]).describe("Other sites whose pages may call the service"),
  resources: z.exactOptional(resourcesSchema).describe("Limits for tasks that name none"),
  maxima: z.exactOptional(resourcesSchema).describe("The most that a task may ask for"),
  allowsBestEffort: z.boolean().default(true),
  concurrency: concurrencySchema.prefault({ running: 64, queued: 512 }),
  limits: z
    .strictObject({
      maxJsonBytes: bytes.exactOptional(),
      maxInlineFileBytes: bytes.exactOptional(),
      maxUploadBytes: bytes.exactOptional(),
      maxFiles: z.int().positive().exactOptional(),
      maxExecutions: z.int().positive().exactOptional(),
      maxConnections: z.int().positive().default(4096),
      requestMs: ms.exactOptional().describe("For a request's head and body to arrive; default by profile 30, 10 and 5 s"),
      stalledReaderMs: ms.exactOptional().describe("For a reader to take what is ready for it; default by profile 30, 10 and 5 s"),
    })
    .prefault({}),
  graceMs: z.int().min(0).default(10_000).describe("How long running work may go on after SIGTERM"),
  audit: z
    .strictObject({ file: z.string().min(1) })
    .exactOptional()
    .describe("Where the audit log is written, one JSON record a line"),
  log: z.strictObject({ level: z.enum(["debug", "info", "warn", "error", "silent"]).default("info") }).prefault({}),
});

export type ServiceConfigInput = z.input<typeof configSchema>;
export type ServiceConfig = z.output<typeof configSchema>;

function configError(source: string, problem: string, cause?: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot use the configuration ${JSON.stringify(source)}: ${problem}`, {
    details: { source, problem },
    ...(cause === undefined ? {} : { cause }),
  });
}

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

function resolveFolders({ wasm, unsafe, docker }: ServiceConfig["backends"], at: (path: string) => string): ServiceConfig["backends"] {
  const cacheFolder = wasm?.components?.cacheFolder;
  const withCache = cacheFolder === undefined ? wasm : { ...wasm, components: { ...wasm?.components, cacheFolder: at(cacheFolder) } };
  const withScratch = unsafe?.scratch === undefined ? unsafe : { ...unsafe, scratch: at(unsafe.scratch) };
  const dockerAt = docker?.scratch === undefined ? docker : { ...docker, scratch: at(docker.scratch) };
  return {
    ...(withCache === undefined ? {} : { wasm: withCache }),
    ...(withScratch === undefined ? {} : { unsafe: withScratch }),
    ...(dockerAt === undefined ? {} : { docker: dockerAt }),
  };
}

function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
}

/** RFC 6750 §2.1, and long enough not to be guessed. */
const tokenPattern = /^[A-Za-z0-9._~+/-]{16,}=*$/;

/** Gets the tokens from where the configuration says that they are. @throws `ERR_CONFIG_INVALID`. */
export async function resolveTokens(
  tokens: ServiceConfig["tokens"],
  env: Readonly<Record<string, string | undefined>>,
): Promise<BearerToken[]> {
  return Promise.all(
    tokens.map(async ({ token, file, env: variable, principal, tenant, scopes: some }, index) => {
      const source = `/tokens/${index}`;
      const value = token ?? (variable === undefined ? await readToken(file ?? "", source) : env[variable]);
      if (value === undefined) throw configError(source, `the environment variable "${variable}" is not set`);
      if (!tokenPattern.test(value)) {
        throw configError(source, "a token is at least 16 characters, letters, digits and . _ ~ + / - (openssl rand -hex 32 makes one)");
      }
      return { token: value, principal, tenant, ...(some === undefined ? {} : { scopes: some }) };
    }),
  );
}

async function readToken(file: string, source: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    throw configError(source, `the file ${JSON.stringify(file)} cannot be read: ${reasonOf(error)}`, error);
  }
}
