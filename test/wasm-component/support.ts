import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ReadyArtifact } from "../../src/wasm/artifact.ts";
import { encodeName, encodeU32 } from "../../src/wasm/binary.ts";
import { jcoTranspiler } from "../../src/wasm/component/jco/index.ts";
import { makeComponent } from "../../src/wasm/component/make.ts";
import type { ComponentTranspiler } from "../../src/wasm/component/transpiler.ts";
import { makingOf, readyOf } from "../wasm-extism/support.ts";

export { endedByHost, makingOf, MiB, runOf, runOnce, type Ran, type RunOptions } from "../wasm-extism/support.ts";

const transpiler = jcoTranspiler();

export function guestPath(name: string): string {
  return fileURLToPath(new URL(`guests/${name}.wasm`, import.meta.url));
}

export function guest(name: string): Uint8Array {
  return new Uint8Array(readFileSync(guestPath(name)));
}

export function ready(name: string, entry = "run"): Promise<ReadyArtifact> {
  return readyWith(transpiler, name, entry);
}

export async function readyWith(own: ComponentTranspiler, name: string, entry = "run"): Promise<ReadyArtifact> {
  return readyOf("component", name, await makeComponent(guest(name), makingOf(name), { entry, transpiler: own }));
}

/** A component of these sections, in the given order. */
export function componentOf(...sections: readonly (readonly [id: number, content: readonly number[]])[]): Uint8Array {
  return Uint8Array.from([
    0,
    0x61,
    0x73,
    0x6d,
    0x0d,
    0,
    1,
    0,
    ...sections.flatMap(([id, content]) => [id, ...encodeU32(content.length), ...content]),
  ]);
}

/** A component that imports an instance without members. */
export function importing(name: string): Uint8Array {
  return componentOf([7, [1, 0x42, 0]], [10, [1, 0, ...encodeName(name), 5, 0]]);
}
