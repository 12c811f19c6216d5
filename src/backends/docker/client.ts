import type { Duplex } from "node:stream";
import { Client, type Dispatcher } from "undici";
import { ToolRuntimeError } from "../../errors.ts";

/** The shape of `dockerode` that is used here. */
export interface DockerPeer {
  ping(): Promise<unknown>;
  version(): Promise<{ readonly Version: string; readonly ApiVersion: string; readonly Components?: readonly EngineComponent[] }>;
  createContainer(options: ContainerOptions): Promise<PeerContainer>;
  getContainer(id: string): PeerContainer;
  getImage(name: string): { inspect(): Promise<ImageFacts> };
  listContainers(options: {
    readonly all: boolean;
    readonly filters: { readonly label: readonly string[] };
  }): Promise<readonly ListedContainer[]>;
}

export interface EngineComponent {
  readonly Name: string;
  readonly Version: string;
}

export interface ImageFacts {
  readonly Id: string;
  readonly RepoDigests?: readonly string[] | null;
  readonly Config?: { readonly Entrypoint?: readonly string[] | null; readonly Cmd?: readonly string[] | null } | null;
}

export interface ListedContainer {
  readonly Id: string;
  readonly Names: readonly string[];
  /** In s since 1970. */
  readonly Created: number;
  readonly Labels: Readonly<Record<string, string>>;
}

export interface PeerContainer {
  readonly id: string;
  start(): Promise<unknown>;
  kill(options: { readonly signal: string }): Promise<unknown>;
  wait(options: { readonly condition: "next-exit" }): Promise<{ readonly StatusCode: number }>;
  inspect(): Promise<{ readonly State: { readonly OOMKilled: boolean } }>;
  remove(options: { readonly force: boolean; readonly v: boolean }): Promise<unknown>;
}

/** What a container is made of: Docker Engine API 1.41, `ContainerCreate`. */
export interface ContainerOptions {
  readonly name: string;
  readonly Image: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly [];
  readonly Env: readonly string[];
  readonly WorkingDir: string;
  readonly User?: string;
  readonly AttachStdin: true;
  readonly AttachStdout: true;
  readonly AttachStderr: true;
  readonly OpenStdin: true;
  readonly StdinOnce: true;
  readonly NetworkDisabled: true;
  readonly Labels: Readonly<Record<string, string>>;
  readonly HostConfig: HostConfig;
}

export interface HostConfig {
  readonly Init: false;
  readonly NetworkMode: "none";
  readonly IpcMode: "none";
  readonly CgroupnsMode: "private";
  readonly CgroupParent: string;
  readonly CapDrop: readonly ["ALL"];
  readonly CapAdd: readonly string[];
  readonly SecurityOpt: readonly string[];
  readonly MaskedPaths: readonly string[];
  readonly ReadonlyPaths: readonly string[];
  readonly OomScoreAdj: number;
  readonly ReadonlyRootfs: boolean;
  readonly Mounts: readonly { readonly Type: "bind"; readonly Source: string; readonly Target: string; readonly ReadOnly?: boolean }[];
  readonly Ulimits: readonly Ulimit[];
  readonly LogConfig: { readonly Type: "none" };
}

export interface Ulimit {
  readonly Name: string;
  readonly Soft: number;
  readonly Hard: number;
}

/** The engine at one Unix socket. */
export class Docker {
  readonly socketPath: string;
  readonly #load: () => Promise<DockerPeer>;
  #peer: Promise<DockerPeer> | undefined;

  constructor(socketPath: string, load: () => Promise<DockerPeer> = () => loadPeer(socketPath)) {
    this.socketPath = socketPath;
    this.#load = load;
  }

  peer(): Promise<DockerPeer> {
    this.#peer ??= this.#load().catch((error: unknown) => {
      this.#peer = undefined;
      throw error;
    });
    return this.#peer;
  }

  /**
   * The container's streams on one connection. dockerode's own way writes its options into stdin on podman, so the connection is
   * opened by hand.
   */
  async attach(id: string, signal: AbortSignal): Promise<{ readonly stream: Duplex; close(): void }> {
    const client = new Client("http://docker", { socketPath: this.socketPath });
    const path = `/containers/${id}/attach?stream=1&stdin=1&stdout=1&stderr=1`;
    let upgraded: Dispatcher.UpgradeData;
    try {
      upgraded = await client.upgrade({ path, method: "POST", protocol: "tcp", signal });
    } catch (error) {
      void client.destroy();
      throw error;
    }
    const { socket } = upgraded;
    // Whoever reads hears of what goes wrong; nobody else need.
    socket.on("error", () => undefined);
    return {
      stream: socket,
      close: () => {
        socket.destroy();
        void client.destroy();
      },
    };
  }
}

async function loadPeer(socketPath: string): Promise<DockerPeer> {
  let module: { readonly default: new (options: PeerOptions) => DockerPeer };
  try {
    // Never with an agent: with one, its client formats all options at each request, in 45 ms and 400 kB.
    const name = "dockerode";
    module = await import(name);
  } catch (cause) {
    throw new ToolRuntimeError(
      "ERR_BACKEND_UNAVAILABLE",
      'Cannot use the backend "docker": the package dockerode did not load; run npm install dockerode',
      { backend: "docker", cause },
    );
  }
  // A connection that is kept is one that a daemon has closed when it was started again, and a descriptor that outlives the run.
  return new module.default({ socketPath, headers: { connection: "close" } });
}

interface PeerOptions {
  readonly socketPath: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The HTTP status that the engine answered with. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof Error && "statusCode" in error && typeof error.statusCode === "number" ? error.statusCode : undefined;
}

/** What an error of the engine's means for a run. */
export function engineError(what: string, error: unknown): ToolRuntimeError {
  if (error instanceof ToolRuntimeError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (["ENOENT", "ECONNREFUSED", "ECONNRESET", "EACCES", "EPIPE", "UND_ERR_SOCKET"].includes(code)) {
    return new ToolRuntimeError(
      "ERR_BACKEND_UNAVAILABLE",
      `Cannot ${what} on backend "docker": its daemon does not answer (${code}); start it, or look at its socket's permissions`,
      { backend: "docker", cause: error },
    );
  }
  const status = statusOf(error);
  const why = status === undefined ? code || "the daemon failed" : `the daemon answered ${status}`;
  return new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot ${what} on backend "docker": ${why}; look at the daemon's log`, {
    backend: "docker",
    cause: error,
  });
}
