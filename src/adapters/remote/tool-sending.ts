import { ToolRuntimeError } from "../../errors.ts";
import { abortedError, answerInvalid } from "../../internal/client/failures.ts";
import type { Transport } from "../../internal/client/transport.ts";
import { assertDigest, sha256 } from "../../internal/digest.ts";
import type { Tool } from "../../tool.ts";
import { toolSchema } from "../../wire.ts";

/** A node that has not taken a tool by then will not. */
const sendMs = 60_000;
const maxAnswerBytes = 4 * 2 ** 20;

/** Gives a node tools that it does not have and takes. Runs that need the same tool at once share one sending. */
export class ToolSending {
  readonly #transport: Transport;
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Asks the node for something that needs the tool, and once more when it has been sent.
   *
   * @throws what `ask` and the sending throw.
   */
  async with<T>(tool: Tool, signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (!isWanted(error) || !canSend(tool)) throw error;
    }
    await unlessAborted(this.#share(tool), signal);
    return ask();
  }

  /** No run's end ends it: others may wait for it too. */
  #share(tool: Tool): Promise<void> {
    const underWay = this.#underWay.get(tool.digest);
    if (underWay !== undefined) return underWay;
    const sending = this.#send(tool).finally(() => this.#underWay.delete(tool.digest));
    this.#underWay.set(tool.digest, sending);
    return sending;
  }

  async #send(tool: Tool): Promise<void> {
    const { manifest, digest } = tool;
    const body = new FormData();
    body.append("manifest", JSON.stringify(manifest));
    for (const kind of ["wasm", "code"] as const) {
      const bytes = await bytesOf(tool, kind);
      if (bytes !== undefined) body.append(kind, new Blob([bytes as Uint8Array<ArrayBuffer>]), kind);
    }
    const path = `/v1/tools?digest=${encodeURIComponent(digest)}`;
    const signal = AbortSignal.timeout(sendMs);
    const taken = await this.#transport.json({ method: "POST", path, body, signal }, toolSchema, maxAnswerBytes);
    if (taken.digest === digest) return;
    throw answerInvalid({ peer: this.#transport.peer, mayHaveStarted: false }, "it took another tool than was sent", { digest });
  }
}

function isWanted(error: unknown): boolean {
  return error instanceof ToolRuntimeError && error.code === "ERR_TOOL_NOT_FOUND" && error.details["acceptsTools"] === true;
}

/** Whether the tool's bytes are here, and its digest stands for them. */
function canSend({ manifest, sources }: Tool): boolean {
  const { wasm, code, ...others } = manifest.artifacts;
  if (Object.values(others).some((artifact) => artifact !== undefined)) return false;
  if (wasm !== undefined && (wasm.digest === undefined || sources.wasm === undefined)) return false;
  if (code === undefined || code.source !== undefined) return true;
  return code.digest !== undefined && sources.code !== undefined;
}

/** @throws `ERR_DIGEST_MISMATCH` where the bytes are not those of the manifest any more. */
async function bytesOf({ manifest, sources }: Tool, kind: "wasm" | "code"): Promise<Uint8Array | undefined> {
  const source = sources[kind];
  const artifact = manifest.artifacts[kind];
  if (artifact === undefined || source === undefined || (kind === "code" && manifest.artifacts.code?.source !== undefined))
    return undefined;
  const bytes = typeof source === "function" ? await source() : source;
  assertDigest(manifest.name, artifact.digest, await sha256(bytes));
  return bytes;
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(abortedError(signal, false));
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
