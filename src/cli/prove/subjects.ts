import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBackend, type BackendName } from "../../adapters/executor/backends.ts";
import type { Backend } from "../../backend.ts";
import type { Attacker, Guests, Trace } from "../../conformance/index.ts";
import { commandAttacker, commandGuest, commandVictim, imageAttacker, imageGuest, traceFolder, wasmGuest } from "../../conformance/node.ts";
import { defineTool, type Tool } from "../../tool.ts";
import { containerdPlace, dockerSocket, imageFolder } from "../backends.ts";

/** An image that has Node and a shell: the attacks are programs of both. */
export interface ProofImage {
  readonly reference: string;
  readonly node: string;
  readonly shell: string;
}

export interface SubjectOptions {
  readonly image?: ProofImage | undefined;
  readonly acceptEngines: readonly string[];
  readonly warn: (message: string) => void;
}

/** A backend with what is run on it to find out what it holds. */
export interface Subject extends AsyncDisposable {
  readonly backend: Backend;
  readonly scratch: string;
  readonly guests: Guests;
  /** Variables that the backend's own sandbox sets. */
  readonly ambientEnv: readonly string[];
  /** What a tool may have written while nobody takes it, in bytes. */
  readonly maxHeldBytes?: number;
  readonly trace?: () => Promise<Trace>;
  /** The attacks of the corpus as programs; absent for WebAssembly, whose attacks are modules. */
  readonly native?: { readonly attacker: Attacker; readonly victim: Tool };
  /** Why nothing can be run on it, where that is so. */
  readonly missing?: string;
}

type Parts = Omit<Subject, "backend" | "scratch" | typeof Symbol.asyncDispose> & { close?(): Promise<void> };

/** What an image's engine and its base image set by themselves. */
const imageEnv = ["PATH", "HOME", "TMPDIR", "HOSTNAME"];
const about = { name: "victim", version: "1.0.0", description: "Writes what it reads", inputSchema: true };

/** Opens a backend with a scratch folder of its own, so that what it leaves is seen. */
export async function openSubject(name: BackendName, options: SubjectOptions): Promise<Subject> {
  const scratch = await mkdtemp(join(tmpdir(), "toolruntime-prove-"));
  const backend = await open(name, scratch, options);
  const { close, ...parts } = await partsOf(name, options);
  return {
    backend,
    scratch,
    ...parts,
    async [Symbol.asyncDispose]() {
      await backend.close();
      await close?.();
      await rm(scratch, { recursive: true, force: true });
    },
  };
}

function open(name: BackendName, scratch: string, { acceptEngines, warn }: SubjectOptions): Promise<Backend> {
  if (name === "wasm") return openBackend(name, { process: {} });
  if (name === "unsafe") return openBackend(name, { acceptUnsafe: true, scratch, warn });
  if (name === "docker") return openBackend(name, { ...dockerSocket(), acceptEngines, scratch });
  if (name === "containerd") return openBackend(name, { ...containerdPlace(), acceptEngines, scratch });
  if (name === "gvisor") return openBackend(name, { ...imageFolder(), acceptEngines, scratch });
  throw new TypeError(`there is nothing to run on the backend "${name}"`);
}

async function partsOf(name: BackendName, { image }: SubjectOptions): Promise<Parts> {
  if (name === "wasm") return { guests: await wasmGuest(), ambientEnv: [] };
  if (name === "unsafe") {
    const traces = await traceFolder();
    return {
      guests: commandGuest(),
      ambientEnv: ["PATH", "HOME", "PWD", "TMPDIR"],
      trace: () => traces.trace(),
      native: { attacker: commandAttacker, victim: await commandVictim() },
      close: () => traces.remove(),
    };
  }
  if (image === undefined) {
    return { guests: {}, ambientEnv: [], missing: "no image was named; --image takes one that is there and has Node and a shell" };
  }
  const { reference, shell } = image;
  const victim = await defineTool({ ...about, artifacts: { image: { reference, argv: [shell, "-c", "exec cat"] } } }, {});
  return {
    guests: await imageGuest(image),
    ambientEnv: imageEnv,
    // The daemon holds a megabyte for whoever reads, and the connection some more.
    maxHeldBytes: 2 * 2 ** 20,
    native: { attacker: imageAttacker(image), victim },
  };
}
