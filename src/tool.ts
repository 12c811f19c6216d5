import * as z from "zod/mini";
import { ToolRuntimeError } from "./errors.ts";
import { assertDigest, digestPattern, sha256, type Digest } from "./internal/digest.ts";
import { canonicalJson, encodeJson } from "./internal/json.ts";
import { compileSchema } from "./internal/schema.ts";
import { formatProblems, inEnglish, problemsOf } from "./internal/zod-problem.ts";
import { limitNames, parseResources, type Limit, type LimitValues, type Quantity } from "./limits.ts";

export type { Digest } from "./internal/digest.ts";

export { artifactKinds, type ArtifactKind } from "./internal/artifact-kinds.ts";

const docs = z.globalRegistry;

const digestSchema = z.pipe(
  z.string().check(z.regex(digestPattern, 'must be "sha256:" and 64 hexadecimal digits')),
  z.transform((text) => text as Digest),
);

const quantitySchema: z.ZodMiniType<Quantity> = z.union([z.number(), z.string()]);
const resourcesShape = Object.fromEntries(limitNames.map((limit) => [limit, z.optional(quantitySchema)]));
/** Limits as quantities; {@link parseResources} reads the values. */
export const resourcesSchema = z.strictObject(resourcesShape as Record<Limit, z.ZodMiniOptional<typeof quantitySchema>>);

export const wasmAbis = ["wasi-p1", "extism", "component"] as const;
export type WasmAbi = (typeof wasmAbis)[number];
/** How the engine of WebAssembly runs an artifact: a module by its ABI, a snippet in QuickJS. */
export type EngineAbi = WasmAbi | "javascript";

const wasmArtifactSchema = z.strictObject({
  file: z.optional(z.string().check(z.minLength(1))).register(docs, { description: "Where the bytes are, relative to the manifest" }),
  digest: z.optional(digestSchema),
  abi: z.optional(z.enum(wasmAbis)).register(docs, { description: "Found from the bytes where it is not named" }),
  entry: z
    .optional(z.string().check(z.minLength(1)))
    .register(docs, { description: "The exported function of an Extism plug-in or component" }),
});

const codeArtifactSchema = z
  .strictObject({
    language: z.enum(["javascript"]),
    file: z.optional(z.string().check(z.minLength(1))).register(docs, { description: "Where the text is, relative to the manifest" }),
    source: z.optional(z.string().check(z.minLength(1))).register(docs, { description: "The text itself, in place of a file" }),
    digest: z.optional(digestSchema),
  })
  .check(z.refine(({ file, source }) => file === undefined || source === undefined, 'must name "file" or "source", not both'));

const imageArtifactSchema = z.strictObject({
  reference: z.string().check(z.minLength(1)).register(docs, { description: "As the engine knows it, with its registry" }),
  digest: z.optional(digestSchema),
  argv: z
    .optional(z.array(z.string()).check(z.minLength(1)))
    .register(docs, { description: "Program and arguments in place of the image's own; never given to a shell" }),
});

const commandArtifactSchema = z.strictObject({
  argv: z.array(z.string()).check(z.minLength(1)).register(docs, { description: "Program and arguments; never given to a shell" }),
});

const jsonSchemaSchema = z.union([z.record(z.string(), z.unknown()), z.boolean()]);

const exampleSchema = z.strictObject({
  title: z.optional(z.string()),
  input: z.unknown(),
  files: z.optional(z.record(z.string(), z.string())),
  output: z.optional(z.unknown()),
});

/** Semantic Versioning 2.0.0, §9 and §10: no empty identifier, no leading zero in a number. */
const versionPattern =
  /^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;

/** A tool's manifest: the fields of an MCP tool, and what toolruntime needs besides. Unknown keys are refused. */
export const manifestSchema = z.strictObject({
  $schema: z.optional(z.string()),
  name: z.string().check(z.regex(/^[a-z][a-z0-9-]{0,62}$/, "must be lower-case letters, digits and hyphens, at most 63, a letter first")),
  title: z.optional(z.string().check(z.minLength(1), z.maxLength(200))),
  version: z.string().check(z.maxLength(128), z.regex(versionPattern, 'must be a semantic version as "1.0.0"')),
  description: z.string().check(z.minLength(1), z.maxLength(4000)),
  inputSchema: jsonSchemaSchema,
  outputSchema: z.optional(jsonSchemaSchema),
  annotations: z.optional(
    z.strictObject({
      title: z.optional(z.string()),
      readOnlyHint: z.optional(z.boolean()),
      destructiveHint: z.optional(z.boolean()),
      idempotentHint: z.optional(z.boolean()),
      openWorldHint: z.optional(z.boolean()),
    }),
  ),
  artifacts: z
    .strictObject({
      wasm: z.optional(wasmArtifactSchema),
      code: z.optional(codeArtifactSchema),
      image: z.optional(imageArtifactSchema),
      command: z.optional(commandArtifactSchema),
    })
    .check(z.refine((artifacts) => Object.values(artifacts).some((artifact) => artifact !== undefined), "must name at least one artifact")),
  resources: z.optional(resourcesSchema),
  permissions: z.optional(
    z.strictObject({
      network: z.optional(z.array(z.string().check(z.minLength(1)))).register(docs, { description: "Hosts that the tool calls" }),
      secrets: z
        .optional(z.array(z.string().check(z.minLength(1))))
        .register(docs, { description: "Names of the secrets that may reach the tool" }),
    }),
  ),
  examples: z.optional(z.array(exampleSchema)),
});

export type Manifest = z.output<typeof manifestSchema>;
export type ManifestInput = z.input<typeof manifestSchema>;

/** Makes an instance of a component of its compiled core modules: what the script of a built component exports. */
export type ComponentInstantiate = (
  getCoreModule: (name: string) => WebAssembly.Module,
  imports: Record<string, object>,
  instantiateCore: (module: WebAssembly.Module, imports?: WebAssembly.Imports) => WebAssembly.Instance,
) => Record<string, unknown> | Promise<Record<string, unknown>>;

/** A WebAssembly artifact that was checked and metered ahead of time, with modules that the platform compiled. */
export interface CompiledArtifact {
  /** The agreement between modules and engine; an engine takes no other than its own. */
  readonly format: number;
  readonly abi: EngineAbi;
  /** Of the original bytes. */
  readonly of: Digest;
  /** Whether it is for deterministic runs, and for those alone. */
  readonly deterministic: boolean;
  /** What the engine found out when it was made: plain JSON. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly modules: Readonly<Record<string, WebAssembly.Module>>;
  /** Of a component. */
  readonly instantiate?: ComponentInstantiate;
}

/** A tool as `toolruntime build` writes it: `defineTool(manifest, { compiled })`. */
export interface BuiltTool {
  readonly manifest: ManifestInput;
  readonly compiled: readonly CompiledArtifact[];
}

/** Where a tool's artifacts are. Bytes are fetched once, when the first run needs them, and checked against the digest. */
export interface ToolSources {
  readonly wasm?: Uint8Array | (() => Promise<Uint8Array>);
  /** The text of a snippet as UTF-8, where it does not stand in the manifest. */
  readonly code?: Uint8Array | (() => Promise<Uint8Array>);
  /**
   * What was built of the bytes ahead of time, for engines that compile nothing at run time. The one that is of the manifest's
   * digest and fits the run is taken before the bytes are.
   */
  readonly compiled?: readonly CompiledArtifact[];
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
  const parsed = manifestSchema.safeParse(manifest, inEnglish);
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
 * @throws `ERR_MANIFEST_INVALID`, and `ERR_DIGEST_MISMATCH` where bytes, or what was built of others, differ from the manifest's digest.
 */
export async function defineTool(manifest: ManifestInput, sources: ToolSources = {}): Promise<Tool> {
  const checked = structuredClone(parseManifest(manifest));
  const { name, artifacts } = checked;
  for (const kind of ["wasm", "code"] as const) {
    const artifact = artifacts[kind];
    const given = kind === "code" ? (artifacts.code?.source ?? sources.code) : sources.wasm;
    if (artifact === undefined || given === undefined || typeof given === "function") continue;
    const digest = await sha256(given);
    assertDigest(name, artifact.digest, digest);
    artifact.digest = digest;
  }
  for (const { abi, of } of sources.compiled ?? []) {
    const artifact = abi === "javascript" ? artifacts.code : artifacts.wasm;
    assertDigest(name, artifact?.digest, of);
    if (artifact !== undefined) artifact.digest = of;
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
