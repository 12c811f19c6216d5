import { parentPort, workerData } from "node:worker_threads";
import type { TranspileRequest } from "../transpiler.ts";

/** The thread in which jco runs: takes one component and answers once. */

export type WorkerRequest = TranspileRequest;
/** The generated JavaScript and the core modules, by name. */
export type Files = readonly (readonly [name: string, content: Uint8Array])[];
export type Reply = { readonly files: Files } | { readonly problem: "missing" | "refused"; readonly why: string };

/** The shape of `@bytecodealliance/jco` that is used here. */
interface Jco {
  transpile(component: Uint8Array, options: object): Promise<{ readonly files: Readonly<Record<string, Uint8Array>> }>;
}

function isJco(module: object): module is Jco {
  return "transpile" in module && typeof module.transpile === "function";
}

async function loadJco(): Promise<Jco | string> {
  try {
    const name = "@bytecodealliance/jco";
    const module: object = await import(name);
    return isJco(module) ? module : "it exports no transpile";
  } catch (error) {
    return String(error);
  }
}

async function transpile({ bytes, waitingImports, waitingExports }: WorkerRequest): Promise<Reply> {
  const jco = await loadJco();
  if (typeof jco === "string") return { problem: "missing", why: jco };
  const options = {
    name: "component",
    instantiation: "sync",
    base64Cutoff: 0,
    nodejsCompat: false,
    emitTypescriptDeclarations: false,
    namespacedExports: true,
    noComponentErrorWrapping: false,
    ...(waitingExports.length === 0 ? {} : { asyncMode: "jspi", asyncImports: waitingImports, asyncExports: waitingExports }),
  };
  try {
    const { files } = await jco.transpile(bytes, options);
    return { files: Object.entries(files).filter(([name]) => /\.(?:js|wasm)$/.test(name)) };
  } catch (error) {
    return { problem: "refused", why: error instanceof Error ? error.message : String(error) };
  }
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin
parentPort?.postMessage(await transpile(workerData as WorkerRequest));
