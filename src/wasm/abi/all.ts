import { component } from "./component.ts";
import { extism } from "./extism.ts";
import { javascript } from "./javascript.ts";
import type { AbiRunner } from "./runner.ts";
import { wasiP1 } from "./wasi-p1.ts";

/** For an engine that does not know before which tools it will have. */
export function allAbis(): AbiRunner[] {
  return [wasiP1(), extism(), component(), javascript()];
}
