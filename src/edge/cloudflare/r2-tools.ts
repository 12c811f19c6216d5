import { ToolRuntimeError } from "../../errors.ts";
import { formatLimit } from "../../limits.ts";
import type { MutableRegistry } from "../../registry.ts";
import { defineTool, type ManifestInput, type Tool } from "../../tool.ts";
import type { Log } from "../options.ts";
import type { R2Bucket } from "./bindings.ts";
import { blobKey } from "./r2-blobs.ts";

export interface R2ToolsOptions {
  readonly bucket: R2Bucket;
  readonly registry: MutableRegistry;
  /** Tools that the worker was deployed with; one of the bucket with the same name and version does not replace them. */
  readonly built: readonly Tool[];
  readonly maxArtifactBytes: number;
  readonly log: Log;
  /** Told of what has to come to its end whoever's request began it. */
  readonly keepAlive: (work: Promise<unknown>) => void;
  /** How long what was read is taken to hold, in ms. Default 60 s. */
  readonly refreshMs?: number;
}

/** The list of tools in the bucket: a JSON list of manifests, each with the digest of its artifact. */
export const toolListKey = "tools.json";
const maxListBytes = 4 * 2 ** 20;

/**
 * Keeps a registry as the list in a bucket says. What comes back is to be awaited by each request: it reads the list where
 * nobody has, and has it read again, without waiting, where that was too long ago. It never rejects: what was read before
 * stays where the list cannot be read.
 */
export function r2Tools(options: R2ToolsOptions): () => Promise<void> {
  const { bucket, registry, built, log, keepAlive, refreshMs = 60_000 } = options;
  let etag: string | undefined;
  let isRead = false;
  let freshUntilMs = Number.NEGATIVE_INFINITY;
  const read = async (): Promise<void> => {
    const object = await bucket.get(toolListKey);
    isRead = true;
    if (object?.etag === etag) return;
    const tools = object === null ? [] : await readList(object, options);
    registry.replaceAll(built);
    for (const tool of tools) addTo(registry, tool, log);
    etag = object?.etag;
  };
  const tryRead = async (): Promise<void> => {
    freshUntilMs = Date.now() + refreshMs;
    await read().catch((error: unknown) => log.error({ key: toolListKey, err: error }, "cannot read the list of tools in the bucket"));
  };
  return async () => {
    // Each request waits for a reading of its own: that of another one dies with it.
    if (!isRead) await tryRead();
    else if (Date.now() >= freshUntilMs) keepAlive(tryRead());
  };
}

function addTo(registry: MutableRegistry, tool: Tool, log: Log): void {
  try {
    registry.add(tool);
  } catch (error) {
    log.warn({ tool: tool.manifest.name, err: error }, "left out a tool of the bucket");
  }
}

async function readList(object: { readonly size: number; arrayBuffer(): Promise<ArrayBuffer> }, options: R2ToolsOptions): Promise<Tool[]> {
  if (object.size > maxListBytes) throw listError(`it is ${object.size} bytes, the most is ${formatLimit("memory", maxListBytes)}`);
  const list: unknown = JSON.parse(new TextDecoder().decode(await object.arrayBuffer()));
  if (!Array.isArray(list)) throw listError("it must be a list of manifests");
  const tools: Tool[] = [];
  for (const manifest of list) {
    try {
      tools.push(await toolOf(manifest, options));
    } catch (error) {
      options.log.warn({ err: error }, "left out a tool of the bucket");
    }
  }
  return tools;
}

function listError(problem: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot read the list of tools "${toolListKey}" in the bucket: ${problem}`);
}

async function toolOf(manifest: ManifestInput, { bucket, maxArtifactBytes, keepAlive }: R2ToolsOptions): Promise<Tool> {
  const tool: Tool = await defineTool(manifest, {
    wasm: () => {
      // Others may wait for these bytes too, and get them when the first who asked has gone.
      const reading = readArtifact(tool, bucket, maxArtifactBytes);
      keepAlive(reading.catch(() => undefined));
      return reading;
    },
  });
  const { wasm } = tool.manifest.artifacts;
  if (wasm === undefined || wasm.digest !== undefined) return tool;
  const { name } = tool.manifest;
  throw new ToolRuntimeError(
    "ERR_MANIFEST_INVALID",
    `Cannot use the manifest of the tool "${name}": a tool of a bucket must name the digest of its artifact`,
    {
      details: { tool: name },
    },
  );
}

/** Whoever uses the bytes checks them against the digest. */
async function readArtifact({ manifest }: Tool, bucket: R2Bucket, maxBytes: number): Promise<Uint8Array> {
  const { name, artifacts } = manifest;
  const digest = artifacts.wasm?.digest;
  const object = digest === undefined ? null : await bucket.get(blobKey(digest));
  if (object === null) {
    throw new ToolRuntimeError(
      "ERR_ARTIFACT_INVALID",
      `Cannot load the WebAssembly of the tool "${name}": the bucket has no blob "${digest}"`,
      {
        details: { tool: name, digest },
      },
    );
  }
  if (object.size <= maxBytes) return new Uint8Array(await object.arrayBuffer());
  throw new ToolRuntimeError(
    "ERR_ARTIFACT_TOO_LARGE",
    `Cannot load the WebAssembly of the tool "${name}": it is ${object.size} bytes, the most is ${maxBytes}`,
    { details: { tool: name, size: object.size, maxArtifactBytes: maxBytes } },
  );
}
