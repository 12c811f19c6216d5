import { ToolRuntimeError } from "../../errors.ts";
import { methods, protobufSchema, type MethodName, type Request, type Response } from "./schema.ts";

/** The shape of `@grpc/grpc-js` that is used here. */
interface Grpc {
  readonly Client: new (address: string, credentials: unknown, options: Readonly<Record<string, unknown>>) => GrpcClient;
  readonly credentials: { createInsecure(): unknown };
  readonly Metadata: new () => GrpcMetadata;
}

interface GrpcMetadata {
  set(name: string, value: string): void;
}

type Serialize = (value: object) => Uint8Array;
type Deserialize = (bytes: Uint8Array) => object;

interface GrpcCall {
  cancel(): void;
}

interface GrpcClient {
  makeUnaryRequest(
    path: string,
    serialize: Serialize,
    deserialize: Deserialize,
    argument: object,
    metadata: GrpcMetadata,
    options: { readonly deadline?: number },
    done: (error: Error | null, answer?: object) => void,
  ): GrpcCall;
  makeServerStreamRequest(
    path: string,
    serialize: Serialize,
    deserialize: Deserialize,
    argument: object,
    metadata: GrpcMetadata,
    options: { readonly deadline?: number },
  ): GrpcCall & AsyncIterable<object>;
  close(): void;
}

/** The shape of `@grpc/proto-loader` that is used here. */
interface ProtoLoader {
  fromJSON(schema: object, options: Readonly<Record<string, unknown>>): Readonly<Record<string, Readonly<Record<string, Codec>>>>;
}

interface Codec {
  readonly requestSerialize: Serialize;
  readonly responseDeserialize: Deserialize;
}

interface Peer {
  readonly client: GrpcClient;
  readonly Metadata: Grpc["Metadata"];
  readonly codecs: Readonly<Record<string, Codec>>;
}

export interface CallOptions {
  /** The lease that holds what the call makes. */
  readonly lease?: string;
  /** Default 30 s. `Infinity` for a call that waits. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface ContainerdPlace {
  readonly socketPath: string;
  readonly namespace: string;
}

const backend = "containerd";
const callTimeoutMs = 30_000;

/** The status codes of gRPC that mean something here (grpc/statuscodes). */
export const grpcCodes = { unknown: 2, deadline: 4, notFound: 5, exists: 6, precondition: 9, unavailable: 14 } as const;

/** The daemon at one Unix socket, in one of its namespaces. */
export class Containerd {
  readonly place: ContainerdPlace;
  #peer: Promise<Peer> | undefined;

  constructor(place: ContainerdPlace) {
    this.place = place;
  }

  #load(): Promise<Peer> {
    this.#peer ??= loadPeer(this.place).catch((error: unknown) => {
      this.#peer = undefined;
      throw error;
    });
    return this.#peer;
  }

  /** Rejects with the daemon's own error. */
  async call<N extends MethodName>(name: N, request: Request<N>, options: CallOptions = {}): Promise<Response<N>> {
    const { client, Metadata, codecs } = await this.#load();
    const codec = codecOf(codecs, name);
    const { signal, timeoutMs = callTimeoutMs } = options;
    return new Promise((resolve, reject) => {
      const stop = (): void => call.cancel();
      const call = client.makeUnaryRequest(
        methods[name].path,
        codec.requestSerialize,
        codec.responseDeserialize,
        request,
        this.#metadata(Metadata, options),
        Number.isFinite(timeoutMs) ? { deadline: Date.now() + timeoutMs } : {},
        (error, answer) => {
          signal?.removeEventListener("abort", stop);
          if (error === null) resolve(answer ?? {});
          else reject(error);
        },
      );
      if (signal?.aborted === true) stop();
      else signal?.addEventListener("abort", stop, { once: true });
    });
  }

  /** A blob of the content store, whole. */
  async readContent(digest: string, maxBytes: number): Promise<Uint8Array> {
    const { client, Metadata, codecs } = await this.#load();
    const { requestSerialize, responseDeserialize } = codecOf(codecs, "readContent");
    const deadline = Date.now() + callTimeoutMs;
    const metadata = this.#metadata(Metadata, {});
    const request: Request<"readContent"> = { digest };
    const { path } = methods.readContent;
    const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadata, { deadline });
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of call) {
      const { data }: Response<"readContent"> = part;
      if (data === undefined || data === null) continue;
      size += data.length;
      if (size > maxBytes) {
        call.cancel();
        throw new Error(`the blob ${digest} is over ${maxBytes} bytes`);
      }
      parts.push(data);
    }
    return Buffer.concat(parts);
  }

  /** A message alone, as it stands in an `Any`. */
  async encode<N extends MethodName>(name: N, value: Request<N>): Promise<Uint8Array> {
    const { codecs } = await this.#load();
    return codecOf(codecs, name).requestSerialize(value);
  }

  #metadata(Metadata: Grpc["Metadata"], { lease }: CallOptions): GrpcMetadata {
    const metadata = new Metadata();
    metadata.set("containerd-namespace", this.place.namespace);
    if (lease !== undefined) metadata.set("containerd-lease", lease);
    return metadata;
  }

  async close(): Promise<void> {
    const peer = await this.#peer?.catch(() => undefined);
    this.#peer = undefined;
    peer?.client.close();
  }
}

function codecOf(codecs: Peer["codecs"], name: MethodName): Codec {
  const codec = codecs[name];
  if (codec === undefined) throw new Error(`the schema has no call "${name}"`);
  return codec;
}

async function loadPeer({ socketPath }: ContainerdPlace): Promise<Peer> {
  const grpc = await load<Grpc>("@grpc/grpc-js");
  const loader = await load<ProtoLoader>("@grpc/proto-loader");
  const loaded = loader.fromJSON(protobufSchema(), { longs: Number, defaults: true, arrays: true, objects: true });
  const client = new grpc.Client(`unix:${socketPath}`, grpc.credentials.createInsecure(), {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
    // A channel of its own: one that another backend has closed or broken is not shared.
    "grpc.use_local_subchannel_pool": 1,
  });
  return { client, Metadata: grpc.Metadata, codecs: loaded["Calls"] ?? {} };
}

async function load<T>(name: "@grpc/grpc-js" | "@grpc/proto-loader"): Promise<T> {
  try {
    const module: { readonly default: T } = await import(name);
    return module.default;
  } catch (cause) {
    throw new ToolRuntimeError(
      "ERR_BACKEND_UNAVAILABLE",
      `Cannot use the backend "containerd": the package ${name} did not load; run npm install @grpc/grpc-js @grpc/proto-loader`,
      { backend, cause },
    );
  }
}

/** The status code of gRPC that the daemon answered with. */
export function grpcCodeOf(error: unknown): number | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : undefined;
}

function detailsOf(error: unknown): string {
  return error instanceof Error && "details" in error && typeof error.details === "string" ? error.details : "";
}

/** Failures whose only sign is the daemon's text: it has one code for all of them. */
const known = [
  {
    pattern: /binary not installed|containerd-shim-[\w-]+": file does not exist/,
    code: "ERR_BACKEND_UNAVAILABLE",
    why: "the daemon finds no shim of the runtime; install containerd-shim-runc-v2 in the daemon's PATH",
  },
  {
    pattern: /no space left on device|disk quota exceeded/,
    code: "ERR_BACKEND_FAILED",
    why: "the daemon's disk is full; make room below its root folder",
  },
  {
    pattern: /snapshotter not loaded/,
    code: "ERR_BACKEND_UNAVAILABLE",
    why: "the daemon has no such snapshotter; name another one in the backend's options",
  },
] as const;

/** What an error of the daemon's means for a run. */
export function containerdError(what: string, error: unknown): ToolRuntimeError {
  if (error instanceof ToolRuntimeError) return error;
  const code = grpcCodeOf(error);
  const details = detailsOf(error);
  const made = (kind: "ERR_BACKEND_UNAVAILABLE" | "ERR_BACKEND_FAILED", why: string): ToolRuntimeError =>
    new ToolRuntimeError(kind, `Cannot ${what} on backend "containerd": ${why}`, { backend, cause: error });
  if (code === grpcCodes.unavailable) {
    const [errno = "UNAVAILABLE"] = /\bE[A-Z]{4,}\b/.exec(details) ?? [];
    return made("ERR_BACKEND_UNAVAILABLE", `its daemon does not answer (${errno}); start it, or look at its socket's permissions`);
  }
  if (code === grpcCodes.deadline) return made("ERR_BACKEND_FAILED", "the daemon did not answer in time; look at its log");
  const found = known.find(({ pattern }) => pattern.test(details));
  if (found !== undefined) return made(found.code, found.why);
  return made("ERR_BACKEND_FAILED", `${code === undefined ? "the daemon failed" : `the daemon answered ${code}`}; look at its log`);
}
