import { Readable } from "node:stream";
import type { ReadableStream as NodeStream } from "node:stream/web";
import { Agent, type Dispatcher } from "undici";
import type { Fetch } from "../../client.ts";

export interface NodeFetchOptions {
  /** The roots of the services' certificates, as PEM, in place of those that Node knows. */
  readonly ca?: string;
  /** This side's certificate and those between it and the root, as PEM; with `key`. */
  readonly cert?: string;
  /** Its private key, as PEM. */
  readonly key?: string;
  /** The name that the services' certificates must have. Default: the host of the url. */
  readonly serverName?: string;
  /** At once to each service. Default: as many as are asked for. */
  readonly connections?: number;
}

export interface NodeFetch extends AsyncDisposable {
  readonly fetch: Fetch;
  /** Ends the connections when what is under way on them has ended. */
  close(): Promise<void>;
}

/**
 * A fetch with connections of its own, for `fetch` of a client or of the backend "remote": TLS 1.3 and later, with the
 * certificates that are given. Redirects are handed back, not followed. Who creates it closes it.
 */
export function nodeFetch({ ca, cert, key, serverName, connections }: NodeFetchOptions = {}): NodeFetch {
  const agent = new Agent({
    ...(connections === undefined ? {} : { connections }),
    connect: {
      minVersion: "TLSv1.3",
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(serverName === undefined ? {} : { servername: serverName }),
    },
    // A run says nothing for as long as its tool runs; whoever waits has a deadline of his own.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const close = (): Promise<void> => agent.close();
  return { fetch: (url, init) => send(agent, url, init), close, [Symbol.asyncDispose]: close };
}

/** Statuses whose answer has no body (Fetch, "null body status"). */
const bodiless: ReadonlySet<number> = new Set([204, 205, 304]);

async function send(agent: Agent, url: string, { method = "GET", headers, body, signal }: RequestInit): Promise<Response> {
  const { origin, pathname, search } = new URL(url);
  const all = new Headers(headers);
  const answer = await agent.request({
    origin,
    path: pathname + search,
    method: method as Dispatcher.HttpMethod,
    body: bodyOf(body, all),
    headers: Object.fromEntries(all),
    signal: signal ?? null,
  });
  const given = new Headers();
  for (const [name, value] of Object.entries(answer.headers)) {
    for (const one of value === undefined ? [] : [value].flat()) given.append(name, one);
  }
  const { statusCode: status } = answer;
  if (!bodiless.has(status)) return new Response(streamOf(answer.body), { status, headers: given });
  await answer.body.dump();
  return new Response(null, { status, headers: given });
}

/** The same bytes without a copy of them, which Node's own adapter makes of each buffer. */
function streamOf(body: Readable): ReadableStream<Uint8Array> {
  const chunks: AsyncIterator<Buffer> = body[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done === true) controller.close();
        else controller.enqueue(new Uint8Array(value.buffer, value.byteOffset, value.length));
      },
      cancel() {
        // Whatever it ends with, nobody wants to know.
        body.on("error", () => undefined).destroy();
      },
    },
    { highWaterMark: 0 },
  );
}

/** What is neither text nor bytes goes as a stream; a form names its boundary in the head. */
function bodyOf(body: RequestInit["body"], headers: Headers): string | Uint8Array | Readable | null {
  if (body === undefined || body === null || typeof body === "string" || body instanceof Uint8Array) return body ?? null;
  const encoded = new Response(body);
  const type = encoded.headers.get("content-type");
  if (type !== null && !headers.has("content-type")) headers.set("content-type", type);
  return encoded.body === null ? null : Readable.fromWeb(encoded.body as NodeStream);
}
