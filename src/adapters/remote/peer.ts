import type { Fetch, Token } from "../../client.ts";
import type { ToolRuntimeError } from "../../errors.ts";
import { toToolRuntimeError } from "../../errors.ts";
import { sha256 } from "../../internal/digest.ts";
import { answerInvalid, connectionFailed } from "../../internal/client/failures.ts";
import { readBytes, Transport } from "../../internal/client/transport.ts";
import { backendListSchema, blobSchema, executionSchema, toolListSchema, type WireBackendList, type WireExecution } from "../../wire.ts";

export interface PeerOptions {
  readonly url: string;
  readonly name: string;
  readonly token?: Token;
  readonly fetch?: Fetch;
  readonly insecureHttp?: boolean;
}

/** What a node says of itself. */
export interface Catalog {
  readonly security: WireBackendList["security"];
  readonly backends: WireBackendList["backends"];
  /** The digests of its tools; absent where it does not say. */
  readonly tools: ReadonlySet<string> | undefined;
}

/** How long a node may take to say what it has, in ms. */
const askMs = 5000;
const maxCatalogBytes = 16 * 2 ** 20;

/** One executor node: its address and what it last said of itself. */
export class Peer {
  readonly name: string;
  readonly transport: Transport;
  #catalog: Catalog | undefined;
  #failure: ToolRuntimeError | undefined;

  /** @throws `ERR_ARGUMENT_INVALID`. */
  constructor(options: PeerOptions) {
    this.name = options.name;
    this.transport = new Transport({ ...options, peer: `the node "${options.name}"` });
  }

  /** Nothing where it did not answer when it was asked last, or was not asked yet. */
  get catalog(): Catalog | undefined {
    return this.#catalog;
  }

  /** Why there is no catalog. */
  get failure(): ToolRuntimeError | undefined {
    return this.#failure;
  }

  /** Asks the node what it has. Never rejects. */
  async ask(signal: AbortSignal | undefined): Promise<void> {
    const times = AbortSignal.timeout(askMs);
    const either = signal === undefined ? times : AbortSignal.any([signal, times]);
    try {
      const [list, tools] = await Promise.all([
        this.transport.json({ method: "GET", path: "/v1/backends", signal: either }, backendListSchema, maxCatalogBytes),
        // Without the list each node is as good as the other.
        this.transport.json({ method: "GET", path: "/v1/tools", signal: either }, toolListSchema, maxCatalogBytes).catch(() => undefined),
      ]);
      this.#failure = undefined;
      this.#catalog = { ...list, tools: tools === undefined ? undefined : new Set(tools.tools.map(({ digest }) => digest)) };
    } catch (error) {
      const asked = { peer: this.transport.peer, mayHaveStarted: false };
      this.#failure = times.aborted ? connectionFailed(asked, times.reason) : toToolRuntimeError(error);
      this.#catalog = undefined;
    }
  }

  /** Ends a run; settles when it is over. */
  cancel(id: string, signal: AbortSignal): Promise<WireExecution> {
    const path = `/v1/executions/${encodeURIComponent(id)}`;
    return this.transport.json({ method: "DELETE", path, signal }, executionSchema, maxCatalogBytes);
  }

  async putBlob(bytes: Uint8Array, signal: AbortSignal): Promise<string> {
    const headers = { "content-type": "application/octet-stream" };
    return (await this.transport.json({ method: "POST", path: "/v1/blobs", headers, body: bytes, signal }, blobSchema, 4096)).digest;
  }

  /** A file that a run has left, which must be the one that was announced. */
  async blob({ digest, size }: { readonly digest: string; readonly size: number }, signal: AbortSignal): Promise<Uint8Array> {
    const asked = { peer: this.transport.peer, mayHaveStarted: true };
    const response = await this.transport.send({
      method: "GET",
      path: `/v1/blobs/${encodeURIComponent(digest)}`,
      signal,
      startsTool: true,
    });
    const bytes = await readBytes(response, { asked, maxBytes: size, signal });
    if (bytes.length === size && (await sha256(bytes)) === digest) return bytes;
    throw answerInvalid(asked, "a file is not the one that was announced", { digest });
  }
}
