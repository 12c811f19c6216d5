import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** A link to a node that can be lost without a word: neither end is told, as when a cable is pulled. */
export interface Link extends AsyncDisposable {
  readonly url: string;
  /** From now on nothing passes, on connections that are open and on those to come. */
  lose(): void;
  /** What was on its way arrives, and all passes again. */
  heal(): void;
}

/** Stands between a client and a node on loopback. */
export async function openLink(port: number): Promise<Link> {
  const clients = new Map<Socket, Socket | undefined>();
  /** Ends of connections whose other end has gone while nothing passed. */
  const orphans = new Set<Socket>();
  let isLost = false;
  const passOn = (from: Socket, to: Socket): void => {
    from.on("data", (chunk: Buffer) => {
      if (to.write(chunk)) return;
      from.pause();
      to.once("drain", () => {
        if (!isLost) from.resume();
      });
    });
    // Sockets that stand still see the end all the same.
    from.on("end", () => {
      if (!isLost) to.end();
    });
    from.on("error", () => from.destroy());
    from.on("close", () => {
      if (isLost) orphans.add(to);
      else to.destroy();
    });
  };
  const join = (client: Socket): void => {
    const node = connect(port, "127.0.0.1");
    clients.set(client, node);
    passOn(client, node);
    passOn(node, client);
    client.resume();
  };
  const server = createServer({ pauseOnConnect: true }, (client) => {
    clients.set(client, undefined);
    client.on("error", () => client.destroy());
    client.on("close", () => clients.delete(client));
    if (!isLost) join(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lose() {
      isLost = true;
      for (const [client, node] of clients) {
        client.pause();
        node?.pause();
      }
    },
    heal() {
      isLost = false;
      for (const socket of orphans) socket.destroy();
      orphans.clear();
      for (const [client, node] of clients) {
        if (node === undefined) join(client);
        client.resume();
        node?.resume();
      }
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const [client, node] of clients) {
        client.destroy();
        node?.destroy();
      }
      await closed;
    },
  };
}
