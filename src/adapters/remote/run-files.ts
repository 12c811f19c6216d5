import type { InputFile } from "../../backend.ts";
import { readStream } from "../../internal/client/read-stream.ts";
import { discard, type Transport } from "../../internal/client/transport.ts";
import { blobSchema, type WireResult } from "../../wire.ts";

function pathOf(digest: string): string {
  return `/v1/blobs/${encodeURIComponent(digest)}`;
}

/** Gives a node a file that it does not have, and says by which digest it has it then. What is in a store here is sent as it is read. */
export async function sendFile(transport: Transport, file: InputFile, signal: AbortSignal): Promise<string> {
  const { digest } = file;
  if (digest !== undefined && (await hasFile(transport, digest, signal))) return digest;
  const content = digest === undefined ? { body: await file.bytes() } : { body: file.stream(), bodyDigest: digest };
  const headers = { "content-type": "application/octet-stream" };
  return (await transport.json({ method: "POST", path: "/v1/blobs", headers, ...content, signal }, blobSchema, 4096)).digest;
}

async function hasFile(transport: Transport, digest: string, signal: AbortSignal): Promise<boolean> {
  try {
    discard(await transport.send({ method: "HEAD", path: pathOf(digest), signal }));
    return true;
  } catch {
    // Whatever is wrong, sending the bytes shows it.
    return false;
  }
}

export interface FileReading {
  readonly signal: AbortSignal;
  /** How long nothing may come, in ms. */
  readonly silenceMs: number;
}

/** A file that a run has left on a node, as it comes. Whoever reads it checks that it is the one that was announced. */
export async function openFile(
  transport: Transport,
  { digest, size }: WireResult["files"][number],
  { signal, silenceMs }: FileReading,
): Promise<ReadableStream<Uint8Array>> {
  const asked = { peer: transport.peer, mayHaveStarted: true };
  const response = await transport.send({ method: "GET", path: pathOf(digest), signal, startsTool: true });
  return readStream(response, { asked, signal, silenceMs, maxBytes: size });
}
