import { ToolRuntimeError } from "../errors.ts";
import { isDigest } from "../internal/digest.ts";
import { boundaryOf, readMultipart } from "../internal/multipart.ts";
import { mediaTypes } from "../internal/wire-names.ts";
import { collectBytes } from "../store.ts";
import { defineTool, parseManifest, type Tool, type ToolSources } from "../tool.ts";
import { cappedBody, invalid, parseBytes } from "./body.ts";
import { viewOf } from "./catalog.ts";
import type { Settings } from "./options.ts";
import type { ReceivedTools } from "./received-tools.ts";
import { replyJson } from "./reply.ts";
import { identify, type AppContext } from "./scope.ts";

/** What the engine of WebAssembly checks and meters by itself. An image or a command would be the host's own to run. */
const takenKinds = ["wasm", "code"] as const;
type TakenKind = (typeof takenKinds)[number];

const maxManifestBytes = 2 ** 20;
/** For the heads and boundaries of a few parts. */
const framingBytes = 64 * 1024;

/** `POST /v1/tools?digest=sha256:…`: a tool's manifest and its artifacts, as a form. */
export function putTool(settings: Settings): (c: AppContext) => Promise<Response> {
  return async (c) => {
    await identify(c, settings, "tools");
    const { receivedTools: received } = settings;
    if (received === undefined) throw denied("this service takes none from callers; its operator can say otherwise under acceptsTools", {});
    const digest = c.req.query("digest") ?? "";
    if (!isDigest(digest)) {
      throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", 'Cannot take the tool: the query must have its "digest", sha256: and 64 digits', {
        details: { parameter: "digest" },
      });
    }
    const leave = received.enter();
    try {
      const { tool, bytes } = await readTool(c, received, settings);
      assertTool(tool, digest);
      received.receive(tool, bytes);
      const location = `/v1/tools/${tool.manifest.name}/${tool.digest}`;
      return replyJson(c.get("scope").requestId, 201, JSON.stringify(viewOf(tool)), { location });
    } finally {
      leave();
    }
  };
}

function denied(why: string, details: Readonly<Record<string, unknown>>): ToolRuntimeError {
  return new ToolRuntimeError("ERR_POLICY_DENIED", `Cannot take the tool: ${why}`, { details });
}

/** The tool that was meant is the one that came. */
function assertTool(tool: Tool, digest: string): void {
  if (tool.digest === digest) return;
  throw new ToolRuntimeError(
    "ERR_DIGEST_MISMATCH",
    `Cannot take the tool "${tool.manifest.name}": what came is ${tool.digest}, the request says ${digest}`,
    { details: { tool: tool.manifest.name, expected: digest, actual: tool.digest } },
  );
}

/** Reads the form. The digests of tool and artifacts are computed of what came. */
async function readTool(c: AppContext, { maxBytes }: ReceivedTools, settings: Settings): Promise<{ tool: Tool; bytes: number }> {
  const type = c.req.header("content-type") ?? "";
  if (type.split(";", 1)[0]?.trim().toLowerCase() !== mediaTypes.multipart)
    throw invalid("the request", `it must be ${mediaTypes.multipart}`);
  const body = cappedBody(c, maxBytes + maxManifestBytes + framingBytes);
  let manifest: { readonly value: unknown } | undefined;
  const artifacts = new Map<TakenKind, Uint8Array>();
  let bytes = 0;
  for await (const part of readMultipart(body, boundaryOf(type), { maxParts: 1 + takenKinds.length, maxHeaderBytes: 8192 })) {
    const kind = takenKinds.find((one) => one === part.name);
    if (part.name === "manifest" && manifest === undefined) {
      manifest = parseBytes(await collectBytes(part.content, maxManifestBytes), settings);
    } else if (kind !== undefined && !artifacts.has(kind)) {
      const content = await collectBytes(part.content, maxBytes - bytes);
      bytes += content.length;
      artifacts.set(kind, content);
    } else {
      throw invalid("the request", `the part "${part.name.slice(0, 100)}" is not expected here, or is there twice`);
    }
  }
  if (manifest === undefined) throw invalid("the request", 'it has no part "manifest"');
  return { tool: await toolOf(manifest.value, artifacts), bytes };
}

async function toolOf(value: unknown, parts: ReadonlyMap<TakenKind, Uint8Array>): Promise<Tool> {
  const manifest = parseManifest(value);
  const { name, artifacts } = manifest;
  for (const [kind, artifact] of Object.entries(artifacts)) {
    if (artifact !== undefined && !takenKinds.some((one) => one === kind))
      throw denied(`it has an artifact "${kind}"; ${takenKinds.join(" and ")} alone are taken`, { tool: name, artifact: kind });
  }
  const sources: { -readonly [K in TakenKind]?: ToolSources[K] } = {};
  for (const kind of takenKinds) {
    const artifact = artifacts[kind];
    const part = parts.get(kind);
    const isInline = kind === "code" && artifacts.code?.source !== undefined;
    if (part !== undefined && (artifact === undefined || isInline))
      throw invalid("the request", `the manifest has no use for the part "${kind}"`);
    if (artifact === undefined || isInline) continue;
    if (part === undefined) throw invalid("the request", `it has no part "${kind}"`);
    // Threat: without it other bytes could come under the tool's digest, and run in the place of those that somebody else has sent.
    if (artifact.digest === undefined) {
      throw new ToolRuntimeError("ERR_MANIFEST_INVALID", `Cannot take the tool "${name}": its manifest must name the digest of "${kind}"`, {
        details: { tool: name },
      });
    }
    sources[kind] = part;
  }
  return defineTool(manifest, sources);
}
