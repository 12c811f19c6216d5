import { ToolRuntimeError } from "../../errors.ts";
import { mediaTypes, problemSchema, type Problem } from "../../wire.ts";
import { joinBytes } from "./bytes.ts";
import { abortedError, answerInvalid, connectionFailed, errorOfProblem, type Asked } from "./failures.ts";
import { digestOf, digestOfHex, knownBody, type Body, type Signer } from "./signing.ts";

export type { SignedRequest, Signer } from "./signing.ts";

/** The part of `fetch` that is used; on Node it may be one with a dispatcher of its own. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** A bearer token, or what gives one for each request. */
export type Token = string | (() => string | Promise<string>);

export interface TransportOptions {
  readonly url: string;
  readonly token?: Token;
  /** Makes a token for each request that is good for it alone. It goes before `token`. */
  readonly signer?: Signer;
  readonly fetch?: Fetch;
  /** How errors call who is asked. */
  readonly peer: string;
  /** Sends a token in the clear to another machine. Default `false`. */
  readonly insecureHttp?: boolean;
}

export interface Sending {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  /** From the service's root, with a slash first. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Body;
  /** Of a body that is a stream, where it is known: `sha256:…`. Without it a stream that is to be signed is read first. */
  readonly bodyDigest?: string;
  readonly signal: AbortSignal;
  /** Whether a tool may run because of it. Default `false`. */
  readonly startsTool?: boolean;
}

/** What a schema of zod is here: whichever of its flavours made it. */
export interface Schema<T> {
  safeParse(value: unknown): { readonly success: true; readonly data: T } | { readonly success: false };
}

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
/** A problem document has at most what was captured of two streams, and receipts. */
const maxProblemBytes = 16 * 2 ** 20;
const strict = new TextDecoder("utf-8", { fatal: true });

/** Reads the address of a service. @throws `ERR_ARGUMENT_INVALID`. */
function baseOf({ url, token, signer, insecureHttp }: TransportOptions): string {
  const invalid = (why: string): ToolRuntimeError =>
    new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot use the url of a service: ${why}`, { details: { option: "url" } });
  if (!URL.canParse(url)) throw invalid('it is none; it takes one as "https://tools.example"');
  const parsed = new URL(url);
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:") throw invalid("it is neither https nor http");
  if (parsed.username !== "" || parsed.password !== "") throw invalid('it has a name or password in it; give a "token"');
  // Whoever is on the way could take the token and run tools with it.
  if ((token ?? signer) !== undefined && parsed.protocol === "http:" && !loopback.test(parsed.hostname) && insecureHttp !== true) {
    throw invalid("it would send the token in the clear to another machine; use https, or set insecureHttp");
  }
  return `${parsed.origin}${parsed.pathname.replace(/\/+$/, "")}`;
}

/** Sends requests to one service and turns everything that is no answer of it into a typed error. */
export class Transport {
  readonly peer: string;
  readonly #base: string;
  readonly #token: Token | undefined;
  readonly #signer: Signer | undefined;
  readonly #fetch: Fetch;

  /** @throws `ERR_ARGUMENT_INVALID`. */
  constructor(options: TransportOptions) {
    this.peer = options.peer;
    this.#base = baseOf(options);
    this.#token = options.token;
    this.#signer = options.signer;
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
  }

  /**
   * Gives the head of an answer that is no error; its body is still to be read.
   *
   * @throws what the service says in a problem document, `ERR_CONNECTION_FAILED`, `ERR_ANSWER_INVALID`, `ERR_ABORTED`.
   */
  async send(sending: Sending): Promise<Response> {
    const { signal, startsTool = false } = sending;
    if (signal.aborted) throw abortedError(signal, false);
    const { method, path, headers, body } = this.#signer === undefined ? sending : await this.#sign(sending, this.#signer);
    const asked: Asked = { peer: this.peer, mayHaveStarted: startsTool };
    const init: RequestInit & { duplex?: "half" } = {
      method,
      headers: await this.#headers(headers),
      signal,
      // A redirect would take the token elsewhere.
      redirect: "manual",
      ...(body === undefined ? {} : { body: body as BodyInit }),
      ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
    };
    let response: Response;
    try {
      response = await this.#fetch(`${this.#base}${path}`, init);
    } catch (cause) {
      throw signal.aborted ? abortedError(signal, startsTool) : connectionFailed(asked, cause);
    }
    if (response.ok) return response;
    throw await this.#refusal(response, asked, signal);
  }

  /** The request with its token, and with its body as bytes unless its digest is known. @throws `ERR_UNAUTHORIZED`, `ERR_INPUT_TOO_LARGE`. */
  async #sign(sending: Sending, signer: Signer): Promise<Sending> {
    const { method, path, body, headers, bodyDigest } = sending;
    const isStream = body instanceof ReadableStream && bodyDigest !== undefined;
    const { bytes, contentType } = isStream ? { bytes: undefined, contentType: undefined } : await knownBody(body);
    const digest = isStream ? digestOfHex(bodyDigest) : await digestOf(bytes);
    const { pathname, search } = new URL(`${this.#base}${path}`);
    const token = await this.#askToken(() => signer({ method, target: pathname + search, bodyDigest: digest }));
    const type = contentType === undefined ? {} : { "content-type": contentType };
    const signed = { ...headers, ...type, authorization: `Bearer ${token}` };
    return { ...sending, headers: signed, ...(bytes === undefined ? {} : { body: bytes }) };
  }

  /** @throws `ERR_UNAUTHORIZED` where there is no token to be had, `ERR_ARGUMENT_INVALID` for what no header can hold. */
  async #headers(own: Readonly<Record<string, string>> = {}): Promise<Headers> {
    // A signed request has its token already.
    const given = this.#signer === undefined ? this.#token : undefined;
    const token = typeof given === "function" ? await this.#askToken(given) : given;
    try {
      return new Headers({ ...own, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) });
    } catch {
      // What the engine says of it would tell the token.
      throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot ask ${this.peer}: the token or the idempotency key fits no header`);
    }
  }

  async #askToken(token: Exclude<Token, string>): Promise<string> {
    try {
      return await token();
    } catch (cause) {
      throw new ToolRuntimeError("ERR_UNAUTHORIZED", `Cannot ask ${this.peer}: what gives its token failed`, { cause });
    }
  }

  /** Reads an answer as the JSON that its schema describes. */
  async json<T>(sending: Sending, schema: Schema<T>, maxBytes: number): Promise<T> {
    const response = await this.send(sending);
    const asked: Asked = { peer: this.peer, mayHaveStarted: sending.startsTool ?? false };
    if (typeOf(response) !== mediaTypes.json) {
      discard(response);
      throw answerInvalid(asked, "it is no JSON", { status: response.status });
    }
    const parsed = schema.safeParse(parseBody(await readBytes(response, { asked, maxBytes, signal: sending.signal }), asked));
    if (parsed.success) return parsed.data;
    throw answerInvalid(asked, "it is not what the protocol has there", { path: sending.path.slice(0, 200) });
  }

  /** What an answer that is no success says. */
  async #refusal(response: Response, asked: Asked, signal: AbortSignal): Promise<ToolRuntimeError> {
    const { status } = response;
    if (typeOf(response) === mediaTypes.problem) {
      const value = parseBody(await readBytes(response, { asked, maxBytes: maxProblemBytes, signal }), asked);
      const parsed: ReturnType<Schema<Problem>["safeParse"]> = problemSchema.safeParse(value);
      if (!parsed.success) return answerInvalid(asked, "its problem document is none", { status });
      return errorOfProblem(parsed.data, asked, retryAfterMs(response));
    }
    discard(response);
    if (![408, 429, 502, 503, 504].includes(status)) {
      const what = status === 0 || (status >= 300 && status < 400) ? "it sends somewhere else" : "it is no answer of toolruntime";
      return answerInvalid({ ...asked, mayHaveStarted: asked.mayHaveStarted && status >= 500 }, what, { status });
    }
    // Something on the way answers, such as a proxy that has lost the service behind it.
    const after = retryAfterMs(response);
    return new ToolRuntimeError(
      "ERR_CONNECTION_FAILED",
      `Cannot get the answer of ${asked.peer}: something on the way answered ${status}`,
      {
        started: asked.mayHaveStarted && status !== 429,
        details: { status, ...(after === undefined ? {} : { retryAfterMs: after }) },
      },
    );
  }
}

function typeOf(response: Response): string | undefined {
  return response.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
}

/** Whether the answer is a stream of events, and not something else that is no error. */
export function isEventStream(response: Response): boolean {
  return typeOf(response) === mediaTypes.ndjson && response.body !== null;
}

/** Lets the connection go; nobody waits for it. */
export function discard(response: Response): void {
  void response.body?.cancel().catch(() => undefined);
}

/** RFC 9110 §10.2.3: seconds or a date. */
function retryAfterMs(response: Response): number | undefined {
  const header = response.headers.get("retry-after");
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

export interface Reading {
  readonly asked: Asked;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** @throws `ERR_ANSWER_INVALID` beyond the size, `ERR_CONNECTION_FAILED`, `ERR_ABORTED`. */
export async function readBytes(response: Response, { asked, maxBytes, signal }: Reading): Promise<Uint8Array> {
  if (response.body === null) return new Uint8Array(0);
  const reader: ReadableStreamDefaultReader<Uint8Array> = response.body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      size += next.value.length;
      if (size > maxBytes) throw answerInvalid(asked, `it is over ${maxBytes} bytes`, { maxBytes });
      chunks.push(next.value);
    }
  } catch (cause) {
    void reader.cancel().catch(() => undefined);
    if (cause instanceof ToolRuntimeError) throw cause;
    throw signal.aborted ? abortedError(signal, asked.mayHaveStarted) : connectionFailed(asked, cause);
  }
  return joinBytes(chunks);
}

function parseBody(bytes: Uint8Array, asked: Asked): unknown {
  try {
    return JSON.parse(strict.decode(bytes));
  } catch {
    throw answerInvalid(asked, "it is broken JSON");
  }
}
