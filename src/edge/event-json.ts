import { encodeBase64 } from "../internal/base64.ts";
import type { ExecutionEvent } from "../runtime.ts";
import type { ExecutionInfo, Outcome } from "../store.ts";
import type { EventStream } from "./event-stream.ts";

/** `ignoreBOM` keeps the bytes as they are. */
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** An event of the tool as JSON: its bytes as text where they are UTF-8, as base64 where not. */
export function eventJson(event: ExecutionEvent): string {
  if (event.type === "started") return `{"type":"started","seq":${event.seq}}`;
  const { type, seq, bytes } = event;
  try {
    return JSON.stringify({ type, seq, text: strict.decode(bytes) });
  } catch {
    return JSON.stringify({ type, seq, base64: encodeBase64(bytes) });
  }
}

export function acceptedJson(id: string, { name, version, digest }: ExecutionInfo["tool"]): string {
  return JSON.stringify({ type: "accepted", seq: 0, id, tool: { name, version, digest } });
}

/** How it ended, and that it has. */
export function endingJson({
  kind,
  json,
  seq,
}: Outcome): readonly { readonly type: string; readonly seq: number; readonly json: string }[] {
  const ending =
    kind === "result"
      ? { type: "result", seq, json: `{"type":"result","seq":${seq},"result":${json}}` }
      : { type: "error", seq, json: `{"type":"error","seq":${seq},"problem":${json}}` };
  return [ending, { type: "end", seq: seq + 1, json: `{"type":"end","seq":${seq + 1}}` }];
}

export async function writeEnding(stream: EventStream, outcome: Outcome, after = -1): Promise<void> {
  for (const event of endingJson(outcome)) {
    if (event.seq > after) await stream.write(event, event.json);
  }
  stream.end();
}
