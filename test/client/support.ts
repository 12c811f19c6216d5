import { createClient, type Client, type ClientOptions, type Fetch } from "../../src/client.ts";
import type { ServiceConfigInput } from "../../src/adapters/executor/index.ts";
import { bearer, openService, tokens, type Opened } from "../edge/support.ts";

export interface Served extends Opened {
  readonly client: Client;
  with(options: Partial<ClientOptions>): Client;
}

/** A real service on loopback with the echo tool and scripts, and a client of it. */
export async function openClient(scripts: Readonly<Record<string, string>> = {}, config: ServiceConfigInput = {}): Promise<Served> {
  const opened = await openService({ tokens: [tokens.alice], ...config }, scripts);
  const make = (options: Partial<ClientOptions> = {}): Client => createClient({ url: opened.url, token: tokens.alice.token, ...options });
  return { ...opened, client: make(), with: make };
}

export { bearer };

export interface Sent {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: RequestInit["body"];
}

/** Stands at the wire: notes what is sent, and answers instead of the service where it is told to. */
export function wireTap(answer: (count: number, sent: Sent) => Response | Error | undefined = () => undefined): {
  readonly fetch: Fetch;
  readonly sent: Sent[];
} {
  const sent: Sent[] = [];
  return {
    sent,
    async fetch(url, init) {
      const one = { method: init.method ?? "GET", url, headers: new Headers(init.headers), body: init.body };
      sent.push(one);
      const given = answer(sent.length, one);
      if (given instanceof Error) throw given;
      return given ?? fetch(url, init);
    },
  };
}

/** A problem document as the service has it. */
export function problem(code: string, status: number, changes: object = {}, headers: Record<string, string> = {}): Response {
  const body = {
    type: `urn:toolruntime:error:${code}`,
    title: "A problem",
    status,
    detail: `Cannot do it: ${code}`,
    code,
    actor: "operator",
    retryable: true,
    started: false,
    details: {},
    requestId: "r",
    ...changes,
  };
  return Response.json(body, { status, headers: { "content-type": "application/problem+json", ...headers } });
}
