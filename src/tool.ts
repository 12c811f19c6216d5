import { z } from "zod";
import { ToolRuntimeError } from "./errors.ts";
import { digestPattern, sha256, type Digest } from "./internal/digest.ts";
import { canonicalJson, encodeJson } from "./internal/json.ts";
import { compileSchema } from "./internal/schema.ts";
import { formatProblems, problemsOf } from "./internal/zod-problem.ts";
import { limitNames, parseResources, type Limit, type LimitValues, type Quantity } from "./limits.ts";

export type { Digest } from "./internal/digest.ts";

export const artifactKinds = ["wasm", "image", "command", "code"] as const;
export type ArtifactKind = (typeof artifactKinds)[number];

const digestSchema = z
  .string()
  .regex(digestPattern, 'must be "sha256:" and 64 hexadecimal digits')
  .transform((text) => text as Digest);

const quantitySchema: z.ZodType<Quantity> = z.union([z.number(), z.string()]);
const resourcesShape = Object.fromEntries(limitNames.map((limit) => [limit, quantitySchema.optional()]));
/** Limits as quantities; {@link parseResources} reads the values. */
export const resourcesSchema = z.strictObject(resourcesShape as Record<Limit, z.ZodOptional<typeof quantitySchema>>);

export const wasmAbis = ["wasi-p1", "extism", "component"] as const;
export type WasmAbi = (typeof wasmAbis)[number];

const wasmArtifactSchema = z.strictObject({
  file: z.string().min(1).optional().describe("Where the bytes are, relative to the manifest"),
  digest: digestSchema.optional(),
  abi: z.enum(wasmAbis).optional().describe("Found from the bytes where it is not named"),
  entry: z.string().min(1).optional().describe("The exported function of an Extism plug-in or component"),
});

const commandArtifactSchema = z.strictObject({
  argv: z.array(z.string()).min(1).describe("Program and arguments; never given to a shell"),
});

const jsonSchemaSchema = z.union([z.record(z.string(), z.unknown()), z.boolean()]);

const exampleSchema = z.strictObject({
  title: z.string().optional(),
  input: z.unknown(),
  files: z.record(z.string(), z.string()).optional(),
  output: z.unknown().optional(),
});

/** Semantic Versioning 2.0.0, §9 and §10: no empty identifier, no leading zero in a number. */
const versionPattern =
  /^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;

/** A tool's manifest: the fields of an MCP tool, and what toolruntime needs besides. Unknown keys are refused. */
export const manifestSchema = z.strictObject({
  $schema: z.string().optional(),
  name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, "must be lower-case letters, digits and hyphens, at most 63, a letter first"),
  title: z.string().min(1).max(200).optional(),
  version: z.string().max(128).regex(versionPattern, 'must be a semantic version as "1.0.0"'),
  description: z.string().min(1).max(4000),
  inputSchema: jsonSchemaSchema,
  outputSchema: jsonSchemaSchema.optional(),
  annotations: z
    .strictObject({
      title: z.string().optional(),
      readOnlyHint: z.boolean().optional(),
      destructiveHint: z.boolean().optional(),
      idempotentHint: z.boolean().optional(),
      openWorldHint: z.boolean().optional(),
    })
    .optional(),
  artifacts: z
    .strictObject({ wasm: wasmArtifactSchema.optional(), command: commandArtifactSchema.optional() })
    .refine((artifacts) => Object.values(artifacts).some((artifact) => artifact !== undefined), "must name at least one artifact"),
  resources: resourcesSchema.optional(),
  permissions: z
    .strictObject({
      network: z.array(z.string().min(1)).optional().describe("Hosts that the tool calls"),
      secrets: z.array(z.string().min(1)).optional().describe("Names of the secrets that may reach the tool"),
    })
    .optional(),
  examples: z.array(exampleSchema).optional(),
});

export type Manifest = z.output<typeof manifestSchema>;
export type ManifestInput = z.input<typeof manifestSchema>;

/** Where a tool's artifacts are. Bytes are fetched once, when the first run needs them, and checked against the digest. */
export interface ToolSources {
  readonly wasm?: Uint8Array | (() => Promise<Uint8Array>);
  /** A module that the platform compiled at deploy, for engines that compile no bytes at run time. */
  readonly module?: WebAssembly.Module;
  /** The folder that a command's relative paths are resolved against. */
  readonly folder?: string;
}

/** Says whether a value fits a tool's schema, and where it does not. */
export interface SchemaCheck {
  (value: unknown): string | undefined;
}

/** A checked, frozen manifest and the way to its artifacts. Made by {@link defineTool}. */
export interface Tool {
  readonly manifest: Manifest;
  /** Over the whole manifest, its artifacts' digests included. */
  readonly digest: Digest;
  readonly sources: ToolSources;
  /** The manifest's `resources` as plain numbers. */
  readonly resources: LimitValues;
  readonly checkInput: SchemaCheck;
  /** Absent where the tool's output is text. */
  readonly checkOutput?: SchemaCheck;
}

/** Names a tool of a registry: `{ name }`, with a version or a digest where they matter. */
export interface ToolRef {
  readonly name: string;
  readonly version?: string;
  readonly digest?: string;
}

export function isTool(tool: Tool | ToolRef): tool is Tool {
  return "manifest" in tool;
}

/** Reads `name`, `name@1.2.0` or `name@sha256:…`. */
export function parseToolRef(text: string): ToolRef {
  const at = text.indexOf("@");
  if (at <= 0) return { name: text };
  const name = text.slice(0, at);
  const rest = text.slice(at + 1);
  return rest.startsWith("sha256:") ? { name, digest: rest } : { name, version: rest };
}

function manifestError(name: string, why: string, cause?: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_MANIFEST_INVALID", `Cannot use the manifest of the tool ${JSON.stringify(name)}: ${why}`, {
    details: { tool: name },
    cause,
  });
}

function nameOf(manifest: unknown): string {
  return typeof manifest === "object" && manifest !== null && "name" in manifest && typeof manifest.name === "string"
    ? manifest.name.slice(0, 63)
    : "?";
}

/** @throws `ERR_MANIFEST_INVALID` with every problem and, for an unknown key, the nearest known one. */
export function parseManifest(manifest: unknown): Manifest {
  // What is no JSON has no digest, and what is nested too deep would exhaust the stack further on.
  const encoded = encodeJson(manifest, { refusesPrototypeKeys: false });
  if ("problem" in encoded) throw manifestError(nameOf(manifest), `it has ${encoded.problem}`);
  const parsed = manifestSchema.safeParse(manifest);
  if (parsed.success) return parsed.data;
  throw manifestError(nameOf(manifest), formatProblems(problemsOf(manifestSchema, parsed.error)), parsed.error);
}

/** What a schema throws, when it is compiled or when it is used, is the manifest's fault. */
function schemaCheck(name: string, key: "inputSchema" | "outputSchema", schema: Manifest["inputSchema"]): SchemaCheck {
  const blame = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw manifestError(name, `its ${key} cannot be used: ${error instanceof Error ? error.message : String(error)}`, error);
    }
  };
  const check = blame(() => compileSchema(schema));
  blame(() => check({}));
  return (value) => blame(() => check(value));
}

/**
 * Checks a manifest and joins it with its artifacts.
 *
 * @throws `ERR_MANIFEST_INVALID`, and `ERR_DIGEST_MISMATCH` where bytes are given that differ from the manifest's digest.
 */
export async function defineTool(manifest: ManifestInput, sources: ToolSources = {}): Promise<Tool> {
  const checked = structuredClone(parseManifest(manifest));
  const { name, artifacts } = checked;
  if (sources.wasm instanceof Uint8Array && artifacts.wasm !== undefined) {
    const digest = await sha256(sources.wasm);
    assertDigest(name, artifacts.wasm.digest, digest);
    artifacts.wasm.digest = digest;
  }
  let resources: LimitValues;
  try {
    resources = parseResources(definedOnly(checked.resources ?? {}));
  } catch (error) {
    throw manifestError(name, error instanceof Error ? error.message : String(error), error);
  }
  return Object.freeze({
    manifest: deepFreeze(checked),
    digest: await sha256(canonicalJson(checked)),
    sources,
    resources: Object.freeze(resources),
    checkInput: schemaCheck(name, "inputSchema", checked.inputSchema),
    ...(checked.outputSchema === undefined ? {} : { checkOutput: schemaCheck(name, "outputSchema", checked.outputSchema) }),
  });
}

/** @throws `ERR_DIGEST_MISMATCH` where both are known and differ. */
export function assertDigest(tool: string, expected: string | undefined, actual: string): void {
  if (expected === undefined || expected === actual) return;
  throw new ToolRuntimeError(
    "ERR_DIGEST_MISMATCH",
    `Cannot use the artifact of the tool "${tool}": its bytes are ${actual}, its manifest says ${expected}`,
    { details: { tool, expected, actual } },
  );
}

function definedOnly<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}
