import { encodeBase64 } from "../../internal/base64.ts";
import type { ComponentInstantiate } from "../../tool.ts";

const encoder = new TextEncoder();

/**
 * Imports what was generated of a component, from the text itself and not from a file, which could change in between. An engine
 * never lets go of a module, and gives the same one for the same text.
 */
export async function importScript(script: string): Promise<ComponentInstantiate> {
  const module: object = await import(`data:text/javascript;base64,${encodeBase64(encoder.encode(script))}`);
  if ("instantiate" in module && typeof module.instantiate === "function") return module.instantiate as ComponentInstantiate;
  throw new TypeError("the script of a component exports no function to instantiate it");
}
