import { z } from "zod";
import { bytes } from "./quantities.ts";

export const blobsSchema = z.strictObject({
  folder: z.string().min(1).exactOptional().describe("Where files are kept; made where it is not there, for this service alone"),
  maxBytes: bytes.exactOptional().describe("All files together; what was used longest ago goes first"),
});

export const acceptsToolsSchema = z
  .strictObject({
    maxTools: z.int().positive().default(100),
    maxBytes: bytes.default(256 * 2 ** 20).describe("Their artifacts together"),
  })
  .describe("Take tools from callers with the scope tools: WebAssembly and snippets");
