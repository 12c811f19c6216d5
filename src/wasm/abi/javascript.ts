import { QuickJsImages } from "../javascript/image.ts";
import { readySnippet } from "../javascript/snippet.ts";
import type { AbiRunner } from "./runner.ts";

/** JavaScript snippets. */
export function javascript(): AbiRunner {
  // Shared by all snippets of one engine.
  const images = new QuickJsImages();
  return { abi: "javascript", ready: (artifact, parts) => readySnippet(artifact, { ...parts, images }) };
}
