import { defineTool, type Tool } from "../src/index.ts";
import { defineProbe } from "../src/conformance/probe.ts";
import { wasmGuest } from "../src/conformance/guests/node.ts";
import { openEcho } from "./echo.ts";

export const passedBytes = 100_000_000;

export interface RemoteTools {
  readonly echo: Tool;
  /** Writes to stdout as it is told. */
  readonly probe: Tool;
  /** Leaves a file of {@link passedBytes}. */
  readonly saves: Tool;
}

/** The same tools on both sides. */
export async function openTools(): Promise<RemoteTools> {
  const save = `head -c ${passedBytes} /dev/urandom >out/big`;
  const manifest = { name: "saves", version: "1.0.0", description: "Leaves a large file", inputSchema: { type: "object" } };
  return {
    echo: await openEcho(),
    probe: await defineProbe(await wasmGuest(), { name: "probe" }),
    saves: await defineTool({ ...manifest, artifacts: { command: { argv: ["sh", "-c", save] } } }),
  };
}
