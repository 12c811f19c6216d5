import { createWorker, Executions, type WorkerEnv, type WorkerHandler, type WorkerOptions } from "../../src/edge/worker.ts";
import type { CompiledArtifact, ManifestInput } from "../../src/index.ts";
import { builtWasm } from "../../src/wasm/built.ts";
import { isolates, type WorkerLoader } from "../../src/wasm/loader/index.ts";

export { Executions };

/** What one service of the worker is made of. */
export interface Opening {
  readonly mode: "static" | "dynamic";
  readonly manifests: readonly ManifestInput[];
  readonly options: Pick<WorkerOptions, "resources" | "maxima" | "concurrency">;
}

/** Artifacts that were built, by the digest of the original. */
export type Shelf = Readonly<Record<string, readonly CompiledArtifact[]>>;

/**
 * Many services in one worker, each the real one, at `/i/<name>`: a test that wants other options or other tools opens another. Tools of
 * a static service were built into the worker; those of a dynamic one lie in a bucket, which here is a map: what R2 itself does is
 * asked in wrangler's runtime.
 */
export function serveMany(shelf: Shelf, engine: string): WorkerHandler {
  const services = new Map<string, { readonly worker: WorkerHandler; readonly bucket: MemoryBucket | undefined }>();
  const artifacts = new Map<string, Uint8Array>();
  const open = (name: string, { mode, manifests, options }: Opening): void => {
    if (mode === "static") {
      const tools = manifests.map((manifest) => ({ manifest, compiled: shelf[manifest.artifacts.wasm?.digest ?? ""] ?? [] }));
      services.set(name, { worker: createWorker({ tools, engine: builtWasm, ...options }), bucket: undefined });
      return;
    }
    const bucket = new MemoryBucket(artifacts, JSON.stringify(manifests));
    const dynamic = (loader: object) => isolates({ loader: isLoader(loader) ? loader : undefined, engine });
    services.set(name, { worker: createWorker({ dynamic, ...options }), bucket });
  };
  return {
    async fetch(request, env, context) {
      const { pathname, search } = new URL(request.url);
      const [, kind, name = "", ...rest] = pathname.split("/");
      if (kind === "open") {
        open(name, await request.json());
        return new Response("opened");
      }
      if (kind === "artifact") {
        artifacts.set(decodeURIComponent(name), new Uint8Array(await request.arrayBuffer()));
        return new Response("put");
      }
      const service = services.get(name);
      if (kind !== "i" || service === undefined) return new Response("no such service", { status: 404 });
      const { LOADER, ...others } = env;
      const own: WorkerEnv =
        service.bucket === undefined ? others : { ...others, ...(LOADER === undefined ? {} : { LOADER }), ARTIFACTS: service.bucket };
      const url = new URL(`/${rest.join("/")}${search}`, request.url);
      const { method, headers, body, signal } = request;
      // Named, for workerd gives a request that is made of another one a signal of its own, which says nothing of the caller.
      return service.worker.fetch(new Request(url, { method, headers, body, signal }), own, context);
    },
  };
}

function isLoader(binding: object): binding is WorkerLoader {
  return "get" in binding && typeof binding.get === "function";
}

/** As much of a bucket as the worker uses. */
export class MemoryBucket {
  readonly #artifacts: ReadonlyMap<string, Uint8Array>;
  readonly #own = new Map<string, Uint8Array>();

  constructor(artifacts: ReadonlyMap<string, Uint8Array>, list: string) {
    this.#artifacts = artifacts;
    this.#own.set("tools.json", new TextEncoder().encode(list));
  }

  #find(key: string): Uint8Array | undefined {
    return this.#own.get(key) ?? this.#artifacts.get(key.slice(key.indexOf("sha256:")));
  }

  async get(key: string) {
    const bytes = this.#find(key);
    if (bytes === undefined) return null;
    return {
      size: bytes.length,
      etag: key,
      // Made for who reads it: of a blob that is too large nobody reads a byte.
      get body() {
        return new Blob([Uint8Array.from(bytes)]).stream();
      },
      arrayBuffer: async () => Uint8Array.from(bytes).buffer,
    };
  }

  async head(key: string) {
    const bytes = this.#find(key);
    return bytes === undefined ? null : { size: bytes.length, checksums: {} };
  }

  async put(key: string, value: Uint8Array | ReadableStream<Uint8Array>): Promise<void> {
    this.#own.set(key, value instanceof Uint8Array ? value.slice() : new Uint8Array(await new Response(value).arrayBuffer()));
  }
}
