import { ToolRuntimeError } from "../../errors.ts";
import { encodeBase64Url } from "../base64.ts";
import { joinBytes } from "./bytes.ts";

/** What a token for one request is bound to. */
export interface SignedRequest {
  readonly method: string;
  /** Path and query as they are sent. */
  readonly target: string;
  /** SHA-256 of the body in base64url; of no bytes where there is none. */
  readonly bodyDigest: string;
}

/** Makes the token of one request; each attempt takes a new one. */
export type Signer = (request: SignedRequest) => string | Promise<string>;

export type Body = string | Uint8Array | FormData | ReadableStream<Uint8Array>;

/** A body whose bytes are known. */
export interface KnownBody {
  readonly bytes: Uint8Array | undefined;
  /** The type of a form, whose boundary is made with its bytes. */
  readonly contentType: string | undefined;
}

/** A stream has to be read before it is sent, as its digest goes first; this much of it is held. */
const maxHeldBytes = 64 * 2 ** 20;
const encoder = new TextEncoder();

/** Makes bytes of a body. @throws `ERR_INPUT_TOO_LARGE` for a stream that is too long to be held. */
export async function knownBody(body: Body | undefined): Promise<KnownBody> {
  if (body instanceof FormData) {
    const form = new Response(body);
    return { bytes: new Uint8Array(await form.arrayBuffer()), contentType: form.headers.get("content-type") ?? undefined };
  }
  const bytes = typeof body === "string" ? encoder.encode(body) : body instanceof ReadableStream ? await readHeld(body) : body;
  return { bytes, contentType: undefined };
}

async function readHeld(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > maxHeldBytes) {
      throw new ToolRuntimeError(
        "ERR_INPUT_TOO_LARGE",
        `Cannot sign the request: its body is a stream of over ${maxHeldBytes} bytes, and its digest is sent before it; say the digest`,
        { details: { maxBytes: maxHeldBytes } },
      );
    }
    chunks.push(chunk);
  }
  return joinBytes(chunks);
}

export async function digestOf(bytes: Uint8Array = new Uint8Array(0)): Promise<string> {
  return encodeBase64Url(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)));
}

/** A digest as blobs have it, `sha256:` and 64 hexadecimal digits, as tokens have it. */
export function digestOfHex(digest: string): string {
  const hex = digest.slice("sha256:".length);
  return encodeBase64Url(Uint8Array.from({ length: 32 }, (_, index) => Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16)));
}
