import type { Server, Socket } from "node:net";

export interface ReaderWatch {
  stop(): void;
  /** Ends every connection, those too that have not come to a request, as in the middle of TLS's handshake. */
  destroyAll(): void;
}

/**
 * Closes connections whose reader leaves what was written to it unread (ABUSE F4). A connection with bytes waiting gets a
 * socket timeout, which Node resets whenever the kernel takes some of them; one with nothing to write may be silent, for
 * as long as its tool runs. Looking at all connections a few times costs nothing per request.
 */
export function closeStalledReaders(server: Server, stalledMs: number): ReaderWatch {
  const sockets = new Set<Socket>();
  const timed = new WeakSet<Socket>();
  const add = (socket: Socket): void => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  };
  // With TLS it is the socket on top that is written to.
  server.on("connection", add).on("secureConnection", add);
  const look = (): void => {
    for (const socket of sockets) {
      const isWaiting = socket.writableLength > 0;
      if (isWaiting === timed.has(socket)) continue;
      if (isWaiting) {
        timed.add(socket);
        socket.setTimeout(stalledMs, () => {
          if (timed.has(socket) && socket.writableLength > 0) socket.destroy();
        });
      } else {
        timed.delete(socket);
        socket.setTimeout(0);
      }
    }
  };
  const timer = setInterval(look, Math.max(50, Math.min(1000, stalledMs / 10)));
  timer.unref();
  return {
    stop: () => clearInterval(timer),
    destroyAll() {
      for (const socket of sockets) socket.destroy();
    },
  };
}
