import { readyComponent } from "../component/component.ts";
import type { AbiRunner } from "./runner.ts";

/** Components of WASI 0.2. */
export function component(): AbiRunner {
  return { abi: "component", ready: readyComponent };
}
