import type { MadeArtifact } from "../made.ts";

/** Where the parts of a made artifact are in a payload, one after the other and in bytes. */
export interface MadeTable {
  /** What is neither script nor module, as JSON. */
  readonly head: number;
  readonly script?: number;
  readonly modules: readonly { readonly name: string; readonly bytes: number }[];
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Puts a made artifact in a form in which it can be sent. */
export function packMade({ modules, script, ...head }: MadeArtifact): { readonly table: MadeTable; readonly payload: Uint8Array } {
  const parts = [encoder.encode(JSON.stringify(head)), ...(script === undefined ? [] : [encoder.encode(script)])];
  const [first, second] = parts;
  const table: MadeTable = {
    head: first?.length ?? 0,
    ...(second === undefined ? {} : { script: second.length }),
    modules: Object.entries(modules).map(([name, { length }]) => ({ name, bytes: length })),
  };
  return { table, payload: Buffer.concat([...parts, ...Object.values(modules)]) };
}

/** The service is trusted: what it sends is what it made. */
export function unpackMade({ head, script, modules }: MadeTable, payload: Uint8Array): MadeArtifact {
  let at = 0;
  const take = (length: number): Uint8Array => payload.subarray(at, (at += length));
  const facts = JSON.parse(decoder.decode(take(head))) as Omit<MadeArtifact, "modules" | "script">;
  const text = script === undefined ? {} : { script: decoder.decode(take(script)) };
  const bytes: Record<string, Uint8Array<ArrayBuffer>> = Object.create(null);
  // A copy of its own for each: the payload is gone once all are compiled.
  for (const { name, bytes: length } of modules) bytes[name] = Uint8Array.from(take(length));
  return { ...facts, ...text, modules: bytes };
}
