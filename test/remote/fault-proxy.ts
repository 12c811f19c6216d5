import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** What becomes of the bytes that a node sends, connection by connection. */
export type Fault =
  | { readonly kind: "none" }
  /** Resets the connection once so many bytes of answers have passed on it. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** Ends the connection as if the answer were over. */
  | { readonly kind: "end"; readonly afterBytes: number }
  /** Lets no more through, and leaves the connection open. */
  | { readonly kind: "hang"; readonly afterBytes: number }
  /** Takes connections and resets them at once. */
  | { readonly kind: "refuse" };

export interface FaultProxy extends AsyncDisposable {
  readonly url: string;
  /** Connections since the start. */
  readonly connections: number;
  /** For connections from now on. */
  set(fault: Fault): void;
  /** Resets all that are open. */
  cutAll(): void;
  close(): Promise<void>;
}

function passOn(client: Socket, node: Socket, fault: Fault): void {
  let room = "afterBytes" in fault ? fault.afterBytes : Number.POSITIVE_INFINITY;
  client.pipe(node);
  node.on("data", (chunk: Buffer) => {
    const out = chunk.subarray(0, Math.min(room, chunk.length));
    room -= out.length;
    if (out.length > 0 && !client.write(out)) {
      node.pause();
      client.once("drain", () => node.resume());
    }
    if (room > 0) return;
    if (fault.kind === "cut") client.resetAndDestroy();
    if (fault.kind === "end") client.end();
    if (fault.kind === "hang") node.pause();
  });
  node.on("end", () => client.end());
}

/** Stands between a client and a node on loopback, and breaks what it is told to break. */
export async function openFaultProxy(port: number): Promise<FaultProxy> {
  const open = new Set<Socket>();
  let fault: Fault = { kind: "none" };
  let connections = 0;
  const server = createServer((client) => {
    connections++;
    if (fault.kind === "refuse") return void client.resetAndDestroy();
    const node = connect(port, "127.0.0.1");
    for (const [one, other] of [
      [client, node],
      [node, client],
    ] as const) {
      open.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        open.delete(one);
        other.destroy();
      });
    }
    passOn(client, node, fault);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cutAll = (): void => {
    for (const socket of open) socket.resetAndDestroy();
  };
  const close = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    cutAll();
    await closed;
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get connections() {
      return connections;
    },
    set: (next) => void (fault = next),
    cutAll,
    close,
    [Symbol.asyncDispose]: close,
  };
}
