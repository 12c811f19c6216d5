import { frameKinds, type FrameBounds } from "../wire/frames.ts";
import { replyBounds, requestBounds } from "../wire/messages.ts";
import type { MadeTable } from "./made-payload.ts";

/** The descriptor at which a child finds its end of the channel. */
export const channelFd = 3;

/** The payload is the artifact: made, and to be compiled. */
export interface BindMessage {
  /** The tool's name. */
  readonly tool: string;
  readonly made: MadeTable;
}

const bindBounds: FrameBounds = { json: 2 ** 24, payload: 2 ** 32 };

const ofChild: Readonly<Record<number, FrameBounds>> = {
  [frameKinds.ready]: { json: 1024, payload: 0 },
  [frameKinds.bound]: { json: 0, payload: 0 },
};

export function serviceBounds(kind: number): FrameBounds | undefined {
  return kind === frameKinds.bind ? bindBounds : requestBounds(kind);
}

/** @param fileBytes what files may still come. */
export function childBounds(kind: number, fileBytes: number): FrameBounds | undefined {
  return ofChild[kind] ?? replyBounds(kind, fileBytes);
}
