import type { Duplex } from "node:stream";

export interface StreamTakers {
  readonly stdout: (bytes: Uint8Array) => void | Promise<void>;
  readonly stderr: (bytes: Uint8Array) => void | Promise<void>;
  /** Once it is aborted the rest is read and dropped. */
  readonly signal: AbortSignal;
}

/**
 * Takes the two streams of an attached container apart: frames of a head of eight bytes (the stream, three zeros, the length with
 * the highest byte first) and as many bytes (Docker Engine API, `ContainerAttach`). While a taker is busy nothing is read, and the
 * tool waits at a full pipe.
 *
 * Settles when the connection has ended. Never rejects.
 */
export async function readStreams(stream: Duplex, { stdout, stderr, signal }: StreamTakers): Promise<void> {
  let head = new Uint8Array(0);
  let left = 0;
  let take = stdout;
  let isDropping = false;
  const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  const handOn = async (bytes: Uint8Array): Promise<void> => {
    isDropping ||= signal.aborted;
    if (isDropping) return;
    try {
      const taken = take(bytes.slice());
      if (taken !== undefined) await Promise.race([taken, aborted]);
    } catch {
      isDropping = true;
    }
  };
  try {
    for await (const read of stream) {
      if (!(read instanceof Uint8Array)) continue;
      let chunk: Uint8Array = read;
      while (chunk.length > 0) {
        if (left > 0) {
          const part = chunk.subarray(0, left);
          chunk = chunk.subarray(part.length);
          left -= part.length;
          await handOn(part);
          continue;
        }
        const needed = 8 - head.length;
        head = Uint8Array.from([...head, ...chunk.subarray(0, needed)]);
        chunk = chunk.subarray(needed);
        if (head.length < 8) continue;
        left = new DataView(head.buffer).getUint32(4);
        take = head[0] === 2 ? stderr : stdout;
        head = new Uint8Array(0);
      }
    }
  } catch {
    // The connection was cut: what there was has been handed on.
  }
}
