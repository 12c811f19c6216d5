import type { Problem, WireEvent, WireResult } from "../../src/wire.ts";

export const token = "hosts-0123456789abcdef";

/** What sends a request to a host, over HTTP or by calling its handler. */
export type Send = (request: Request) => Promise<Response>;

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** The service of a host, as a caller with the token sees it. */
export class Caller {
  readonly #send: Send;
  readonly #url: string;

  constructor(url: string, send: Send = (request) => fetch(request)) {
    this.#url = url;
    this.#send = send;
  }

  get(path: string, headers: Readonly<Record<string, string>> = { authorization: `Bearer ${token}` }): Promise<Response> {
    return this.#send(new Request(`${this.#url}${path}`, { headers }));
  }

  post(body: object, { headers, signal }: CallOptions = {}): Promise<Response> {
    const init = {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}`, ...headers },
      body: JSON.stringify(body),
    };
    return this.#send(new Request(`${this.#url}/v1/executions`, signal === undefined ? init : { ...init, signal }));
  }

  async run(body: object, options?: CallOptions): Promise<WireResult> {
    const response = await this.post(body, options);
    if (response.status !== 200) throw new Error(`it was refused: ${await response.text()}`);
    return (await response.json()) as WireResult;
  }

  async problem(body: object, options?: CallOptions): Promise<Problem> {
    const response = await this.post(body, options);
    return (await response.json()) as Problem;
  }
}

/** The events of a stream, as they come. */
export async function* eventsOf(response: Response): AsyncGenerator<WireEvent> {
  let rest = "";
  for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = `${rest}${text}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line) as WireEvent;
  }
}

export async function allEvents(response: Response): Promise<WireEvent[]> {
  const events: WireEvent[] = [];
  for await (const event of eventsOf(response)) if (event.type !== "heartbeat") events.push(event);
  return events;
}
