import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Trace } from "../bench.ts";
import type { Guests } from "../probe.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));

/** The probe as this Node's script, for backends that take commands. */
export function commandGuest(): Guests {
  return { command: { argv: [process.execPath, "./probe.mjs"], folder } };
}

/** The probe as text in the command line of an image's Node, so that any image with one will do. */
export async function imageGuest({ reference, node }: { readonly reference: string; readonly node: string }): Promise<Guests> {
  const probe = await readFile(join(folder, "probe.mjs"), "utf8");
  return { image: { reference, argv: [node, "--input-type=module", "--eval", probe] } };
}

/** The probe as a WASI preview 1 module. */
export async function wasmGuest(): Promise<Guests> {
  return { wasm: new Uint8Array(await readFile(join(folder, "probe.wasm"))) };
}

/** Trace files in a folder of their own. Who makes it removes it. */
export async function traceFolder(): Promise<{ trace(): Promise<Trace>; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "toolruntime-trace-"));
  let made = 0;
  return {
    async trace() {
      const file = join(path, String(made++));
      return {
        path: file,
        size: () =>
          stat(file).then(
            ({ size }) => size,
            () => 0,
          ),
      };
    },
    remove: () => rm(path, { recursive: true, force: true }),
  };
}
