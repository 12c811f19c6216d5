import type { Readable } from "node:stream";

export interface Pump {
  /** Settles when the stream has ended or was destroyed. Never rejects. */
  readonly done: Promise<void>;
  /** Whether something has come out of the stream since this was asked last, or is being taken. */
  wasBusy(): boolean;
}

/**
 * Hands on what comes out of a stream until it ends. While `take` is busy nothing is read, so that the writer's pipe fills
 * up and the writer waits. Once the signal is aborted, or `take` throws, the rest is read and dropped: a process that is
 * told to end must not hang on a full pipe.
 */
export function pump(stream: Readable, take: (bytes: Uint8Array) => void | Promise<void>, signal: AbortSignal): Pump {
  let isDropping = false;
  let isTaking = false;
  let hasMoved = false;
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

  async function handOn(chunk: Uint8Array): Promise<void> {
    try {
      const taken = take(new Uint8Array(chunk));
      if (taken !== undefined) await Promise.race([taken, aborted]);
    } catch {
      isDropping = true;
    }
  }

  async function readAll(): Promise<void> {
    try {
      for await (const chunk of stream) {
        isDropping ||= signal.aborted;
        hasMoved = true;
        isTaking = true;
        if (!isDropping) await handOn(chunk);
        isTaking = false;
      }
    } catch {
      // The stream was destroyed: nobody waits for more of it.
    }
  }

  const wasBusy = (): boolean => {
    const was = hasMoved || isTaking;
    hasMoved = false;
    return was;
  };
  return { done: readAll(), wasBusy };
}
