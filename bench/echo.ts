import { readFile } from "node:fs/promises";
import { defineTool, type Tool } from "../src/index.ts";

export const echoInput = { text: "hello", numbers: [1, 2, 3] };

/** The guest of the bench: gives back its input. */
export async function openEcho(): Promise<Tool> {
  return defineTool(
    {
      name: "echo",
      version: "1.0.0",
      description: "Gives back its input",
      inputSchema: { type: "object" },
      outputSchema: { type: "object" },
      artifacts: { wasm: {} },
    },
    { wasm: await readFile(new URL("guests/echo.wasm", import.meta.url)) },
  );
}
