import { createServer, type Server } from "node:http";
import { createServer as createTlsServer, Server as TlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { ToolRuntimeError, toToolRuntimeError } from "../../errors.ts";
import { answerBadRequests, malformedTarget } from "./bad-requests.ts";
import type { TlsConfig } from "./config/trust.ts";
import { closeStalledReaders } from "./stalled-readers.ts";
import { readTls } from "./tls.ts";
import { watchFiles } from "./watched-files.ts";

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
  /** HTTPS, TLS 1.3 and later. The files are read again when they change. */
  readonly tls?: TlsConfig;
  /** Told when they were read again, and of what cannot be used. */
  readonly onReload?: (problem?: ToolRuntimeError) => void;
}

export interface RunningServer {
  readonly url: string;
  readonly port: number;
  /** Takes no new connections and ends those that are idle; settles when all have ended. */
  stop(): Promise<void>;
  /** Reads the certificates again; connections that are there go on as they are. */
  reload(): Promise<void>;
  /** Ends what is left. */
  kill(): void;
}

async function openServer({ fetch, requestMs, tls }: ServeOptions): Promise<Server> {
  const options = {
    headersTimeout: requestMs,
    requestTimeout: requestMs,
    connectionsCheckingInterval: Math.max(50, Math.min(1000, requestMs / 10)),
    keepAliveTimeout: 5000,
    maxHeaderSize: 16 * 1024,
    // A request without Host is refused by the app, whose refusal says why.
    requireHostHeader: false,
    // A request must not be smuggled past whoever stands in front (RFC 9112 §6.3).
    insecureHTTPParser: false,
  };
  const listener = getRequestListener(fetch, { errorHandler: malformedTarget });
  if (tls === undefined) return createServer(options, listener);
  return createTlsServer({ ...options, handshakeTimeout: requestMs, ...(await readTls(tls)) }, listener);
}

/** Gives a server's new connections what is in the files by then. */
function renewTls(server: Server, { tls, onReload }: ServeOptions): { reload(): Promise<void>; stop(): void } {
  if (tls === undefined || !(server instanceof TlsServer)) return { reload: async () => undefined, stop() {} };
  const reload = async (): Promise<void> => {
    try {
      server.setSecureContext(await readTls(tls));
      onReload?.();
    } catch (error) {
      // The one file was replaced and the other is about to be, or somebody made a mistake.
      onReload?.(toToolRuntimeError(error));
    }
  };
  const files = [tls.certFile, tls.keyFile, ...(tls.clientCaFile === undefined ? [] : [tls.clientCaFile])];
  const watched = watchFiles(files, () => void reload());
  return { reload, stop: () => watched.stop() };
}

/**
 * Serves a fetch handler over HTTP/1.1.
 *
 * @throws `ERR_CONFIG_INVALID` where the address cannot be listened on, or the certificates cannot be used.
 */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const { host, port, stalledReaderMs, maxConnections, tls } = options;
  const server = await openServer(options);
  server.maxConnections = maxConnections;
  answerBadRequests(server);
  const readers = closeStalledReaders(server, stalledReaderMs);
  const renewal = renewTls(server, options);
  try {
    await listen(server, host, port);
  } catch (error) {
    readers.stop();
    renewal.stop();
    throw listenError(host, port, error);
  }
  const address = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${address.port}`,
    port: address.port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => {
          readers.stop();
          renewal.stop();
          resolve();
        });
        server.closeIdleConnections();
      }),
    reload: () => renewal.reload(),
    kill: () => readers.destroyAll(),
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
