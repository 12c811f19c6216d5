import type { Plan } from "../../backend.ts";
import { frameKinds, type FrameBounds } from "./frames.ts";

/**
 * How far the guest may write ahead of the reader of its output, in bytes and in writes, before the engine is told to let it
 * wait.
 */
export const outputWindow = { bytes: 64 * 1024, frames: 256 } as const;
/** A longer write of the guest goes in pieces of this size. */
export const maxPieceBytes = 32 * 1024;

/** The parts of a plan that are plain data, whatever they are. */
export type PlanFacts = Omit<Plan, "tool">;

/** The payload is stdin and the files, one after the other. */
export interface RunMessage {
  readonly plan: PlanFacts;
  readonly id: string;
  readonly stdinBytes: number;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly env: Readonly<Record<string, string>>;
  readonly maxOutputFiles: number;
}

/** What the reader of the output has taken. */
export interface AckMessage {
  readonly bytes: number;
  readonly frames: number;
}

/** The run is to be ended, because of an error of this code. */
export interface EndMessage {
  readonly code: string;
}

/** Whoever asks is trusted; these bound only what a mistake could do. */
const toRun: Readonly<Record<number, FrameBounds>> = {
  [frameKinds.run]: { json: 2 ** 24, payload: 2 ** 32 },
  [frameKinds.ack]: { json: 256, payload: 0 },
  [frameKinds.end]: { json: 256, payload: 0 },
};

/** Threat: whoever runs a guest whose sandbox was broken says what it likes. */
const ofRun: Readonly<Record<number, FrameBounds>> = {
  [frameKinds.started]: { json: 0, payload: 0 },
  [frameKinds.stdout]: { json: 0, payload: maxPieceBytes },
  [frameKinds.stderr]: { json: 0, payload: maxPieceBytes },
  // The sum of all files is counted by whoever takes them.
  [frameKinds.file]: { json: 8192, payload: 2 ** 32 },
  [frameKinds.done]: { json: 65_536, payload: 0 },
  [frameKinds.failed]: { json: 65_536, payload: 0 },
};

/** Of the frames that ask for a run. */
export function requestBounds(kind: number): FrameBounds | undefined {
  return toRun[kind];
}

/**
 * Of the frames that a run answers with.
 *
 * @param fileBytes what files may still come.
 */
export function replyBounds(kind: number, fileBytes: number): FrameBounds | undefined {
  const bounds = ofRun[kind];
  return kind === frameKinds.file && bounds !== undefined ? { ...bounds, payload: fileBytes } : bounds;
}
