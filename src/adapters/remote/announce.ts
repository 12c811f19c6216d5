import type { Fetch } from "../../client.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { Transport, type Schema } from "../../internal/client/transport.ts";

export interface AnnounceOptions {
  /** The edge, as `https://edge.example`. */
  readonly edge: string;
  /** The token for nodes. */
  readonly token: string;
  /** This node, and where the edge reaches it. */
  readonly name: string;
  readonly url: string;
  readonly fetch?: Fetch;
  readonly insecureHttp?: boolean;
  /** Told when the edge did not take it; it is tried again all the same. */
  readonly onFailure?: (error: ToolRuntimeError) => void;
}

const anything: Schema<{ readonly ttlMs?: number }> = {
  safeParse: (value) => ({ success: true, data: typeof value === "object" && value !== null ? value : {} }),
};
/** An edge that does not answer is asked again so soon. */
const retryMs = 2000;
const requestMs = 5000;

/** Says to an edge, three times in each while, that this node is there. What it gives back takes it away again. */
export function announce(options: AnnounceOptions): () => Promise<void> {
  const transport = new Transport({ ...options, url: options.edge, peer: `the edge at "${options.edge}"` });
  const stopped = new AbortController();
  const body = JSON.stringify({ name: options.name, url: options.url });
  const headers = { "content-type": "application/json" };
  const signal = (): AbortSignal => AbortSignal.timeout(requestMs);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const beat = async (): Promise<void> => {
    let nextMs = retryMs;
    try {
      const { ttlMs } = await transport.json({ method: "POST", path: "/v1/nodes", headers, body, signal: signal() }, anything, 64 * 1024);
      if (typeof ttlMs === "number" && ttlMs > 0) nextMs = ttlMs / 3;
    } catch (error) {
      if (error instanceof ToolRuntimeError) options.onFailure?.(error);
    }
    if (!stopped.signal.aborted) timer = setTimeout(() => void beat(), nextMs);
  };
  const beating = beat();
  return async () => {
    stopped.abort();
    clearTimeout(timer);
    await beating;
    const path = `/v1/nodes/${encodeURIComponent(options.name)}`;
    await transport.send({ method: "DELETE", path, signal: signal() }).catch(() => undefined);
  };
}
