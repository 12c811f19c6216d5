import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { ToolRuntimeError } from "../../errors.ts";
import { answerBadRequests, malformedTarget } from "./bad-requests.ts";
import { closeStalledReaders } from "./stalled-readers.ts";

export interface ServeOptions {
  readonly fetch: (request: Request, env: object) => Response | Promise<Response>;
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** How long a request's head and body may take to arrive. */
  readonly requestMs: number;
  /** How long a reader may leave what is ready for it unread. */
  readonly stalledReaderMs: number;
  readonly maxConnections: number;
}

export interface RunningServer {
  readonly url: string;
  readonly port: number;
  /** Takes no new connections and ends those that are idle; settles when all have ended. */
  stop(): Promise<void>;
  /** Ends what is left. */
  kill(): void;
}

/**
 * Serves a fetch handler over HTTP/1.1.
 *
 * @throws `ERR_CONFIG_INVALID` where the address cannot be listened on.
 */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const { host, port, requestMs, stalledReaderMs, maxConnections } = options;
  const server = createServer(
    {
      headersTimeout: requestMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: Math.max(50, Math.min(1000, requestMs / 10)),
      keepAliveTimeout: 5000,
      maxHeaderSize: 16 * 1024,
      // A request without Host is refused by the app, whose refusal says why.
      requireHostHeader: false,
      // A request must not be smuggled past whoever stands in front (RFC 9112 §6.3).
      insecureHTTPParser: false,
    },
    getRequestListener(options.fetch, { errorHandler: malformedTarget }),
  );
  server.maxConnections = maxConnections;
  answerBadRequests(server);
  const readers = closeStalledReaders(server, stalledReaderMs);
  try {
    await listen(server, host, port);
  } catch (error) {
    readers.stop();
    throw listenError(host, port, error);
  }
  const address = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`,
    port: address.port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => {
          readers.stop();
          resolve();
        });
        server.closeIdleConnections();
      }),
    kill: () => server.closeAllConnections(),
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: 1024 }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is taken; use --port to take another one",
  EACCES: "this user may not take that port; use one above 1023",
  EADDRNOTAVAIL: "this machine has no such address",
  ENOTFOUND: "there is no such host",
  EINVAL: "there is no such address",
};

function listenError(host: string, port: number, error: unknown): ToolRuntimeError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const why =
    code === "EADDRINUSE" ? `port ${port} is taken; use --port to take another one` : (reasons[code] ?? (code || "unknown reason"));
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot listen on ${host}:${port}: ${why}`, {
    details: { host, port, reason: code },
    cause: error,
  });
}
