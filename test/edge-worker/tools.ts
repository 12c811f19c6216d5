import { readFile } from "node:fs/promises";
import { defineTool, type ManifestInput, type Tool } from "../../src/index.ts";

const guests = {
  echo: "../../bench/guests/echo.wasm",
  loop: "../abuse/modules/loop.wasm",
  sleep: "../abuse/modules/sleep.wasm",
  files: "../wasi/guests/files.wasm",
} as const;
export type GuestName = keyof typeof guests;

export const guestNames: readonly GuestName[] = ["echo", "loop", "sleep"];

export async function guestBytes(name: GuestName): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await readFile(new URL(guests[name], import.meta.url)));
}

export function manifestOf(name: string): ManifestInput {
  return { name, version: "1.0.0", description: `The guest ${name}`, inputSchema: true, artifacts: { wasm: {} } };
}

export async function guestTool(name: GuestName): Promise<Tool> {
  return defineTool(manifestOf(name), { wasm: await guestBytes(name) });
}
