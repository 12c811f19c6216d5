import type { Backend } from "../../backend.ts";
import type { WorkerLoader } from "./client.ts";
import { isolates } from "./index.ts";
import { isolateBundle } from "./isolate-bundle.js";

/** What a worker opens of its Worker Loader binding: a backend with the engine in the worker's own bundle, as text. */
export function openDynamic(loader: object): Backend {
  return isolates({ loader: isLoader(loader) ? loader : undefined, engine: isolateBundle });
}

function isLoader(binding: object): binding is WorkerLoader {
  return "get" in binding && typeof binding.get === "function";
}
