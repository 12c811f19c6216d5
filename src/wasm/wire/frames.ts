/**
 * The channel between a service and where its guests run: a child process or an isolate of its own. A frame is a head of 13
 * bytes (kind, number of the run, length of the JSON, length of the payload; little-endian), the JSON and the payload.
 */
export const frameKinds = {
  // From the service.
  bind: 1,
  run: 2,
  ack: 3,
  end: 4,
  // From where the guest runs.
  ready: 16,
  bound: 17,
  started: 18,
  stdout: 19,
  stderr: 20,
  file: 21,
  done: 22,
  failed: 23,
} as const;

export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds];

export interface Frame {
  readonly kind: number;
  /** Which run it belongs to; 0 for what belongs to none. */
  readonly run: number;
  readonly json: string;
  /** The frame's own bytes: nobody else has them. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** The most that a frame of some kind may have, in bytes. */
export interface FrameBounds {
  readonly json: number;
  readonly payload: number;
}

/** The other side does not keep to the protocol. */
export class ProtocolError extends Error {}

const headBytes = 13;
/** Below this one write of a copy costs less than two writes. */
const joinedBytes = 16_384;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });
const nothing = new Uint8Array(0);

/** The pieces to be written, one after the other. */
export function encodeFrame(
  kind: FrameKind,
  run: number,
  { json, payload = nothing }: { readonly json?: object; readonly payload?: Uint8Array } = {},
): Uint8Array[] {
  const text = json === undefined ? nothing : encoder.encode(JSON.stringify(json));
  const isJoined = payload.length <= joinedBytes;
  const first = new Uint8Array(headBytes + text.length + (isJoined ? payload.length : 0));
  const view = new DataView(first.buffer);
  view.setUint8(0, kind);
  view.setUint32(1, run, true);
  view.setUint32(5, text.length, true);
  view.setUint32(9, payload.length, true);
  first.set(text, headBytes);
  if (!isJoined) return [first, payload];
  first.set(payload, headBytes + text.length);
  return [first];
}

/** Puts frames together from whatever pieces they arrive in. Holds at most one frame and what came with its last piece. */
export class FrameDecoder {
  readonly #boundsOf: (kind: number) => FrameBounds | undefined;
  #chunks: Uint8Array[] = [];
  /** How much of the first chunk is used up. */
  #offset = 0;
  #length = 0;

  /** @param boundsOf gives nothing for a kind that this side does not take. */
  constructor(boundsOf: (kind: number) => FrameBounds | undefined) {
    this.#boundsOf = boundsOf;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** Whether a part of a frame is there. */
  get isPartial(): boolean {
    return this.#length > 0;
  }

  /**
   * The next frame, once it is there whole. Nothing is set aside for a frame on the word of its head.
   *
   * @throws ProtocolError.
   */
  next(): Frame | undefined {
    if (this.#length < headBytes) return undefined;
    const head = this.#copy(headBytes);
    const view = new DataView(head.buffer);
    const kind = view.getUint8(0);
    const [jsonBytes, payloadBytes] = [view.getUint32(5, true), view.getUint32(9, true)];
    const bounds = this.#boundsOf(kind);
    if (bounds === undefined) throw new ProtocolError(`it sent a frame of the unknown kind ${kind}`);
    if (jsonBytes > bounds.json || payloadBytes > bounds.payload)
      throw new ProtocolError(`it sent a frame of kind ${kind} that is too large`);
    if (this.#length < headBytes + jsonBytes + payloadBytes) return undefined;
    this.#drop(headBytes);
    const json = jsonBytes === 0 ? "" : decodeText(this.#take(jsonBytes));
    return { kind, run: view.getUint32(1, true), json, payload: this.#take(payloadBytes) };
  }

  #take(length: number): Uint8Array<ArrayBuffer> {
    const bytes = this.#copy(length);
    this.#drop(length);
    return bytes;
  }

  #copy(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    let [at, offset] = [0, this.#offset];
    for (const chunk of this.#chunks) {
      if (at === length) break;
      const part = chunk.subarray(offset, offset + length - at);
      bytes.set(part, at);
      at += part.length;
      offset = 0;
    }
    return bytes;
  }

  #drop(length: number): void {
    this.#length -= length;
    let used = this.#offset + length;
    let whole = 0;
    for (const { length: size } of this.#chunks) {
      if (used < size) break;
      used -= size;
      whole++;
    }
    if (whole > 0) this.#chunks = this.#chunks.slice(whole);
    this.#offset = used;
  }
}

function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ProtocolError("it sent text that is no UTF-8");
  }
}
