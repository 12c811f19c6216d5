import { ownerLabel } from "../oci/leftovers.ts";
import { containerdError, grpcCodeOf, grpcCodes, type Containerd } from "./client.ts";
import type { Message } from "./schema.ts";
import type { RuntimeSpec } from "../oci/runtime-spec.ts";
import type { RuntimeProgram } from "./runtime-program.ts";

/** How long a task that got SIGKILL may take to end. */
const killTimeoutMs = 5000;
const sigkill = 9;
const expiryLabel = "containerd.io/gc.expire";
const shim = "io.containerd.runc.v2";
const specType = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const optionsType = "containerd.runc.v1.Options";

/** One run's lease, snapshot, container and task bear the same name. */
export interface RunObjects {
  readonly containerd: Containerd;
  readonly id: string;
  readonly snapshotter: string;
}

export interface LeaseSettings {
  readonly owner: string;
  /** When the daemon may collect what the lease holds, whatever became of this service. */
  readonly expiresAt: Date;
  /** The snapshot of the image's layers. */
  readonly parent: string;
}

/**
 * Makes the lease and under it a snapshot that can be written to; a snapshot that no container names yet is collected without. Gives
 * how it is mounted. Rejects with the daemon's own error.
 */
export async function prepareSnapshot(objects: RunObjects, settings: LeaseSettings): Promise<readonly Message<"Mount">[]> {
  const { containerd, id, snapshotter } = objects;
  const labels = { [ownerLabel]: settings.owner, [expiryLabel]: settings.expiresAt.toISOString() };
  await containerd.call("createLease", { id, labels });
  const { mounts } = await containerd.call("prepareSnapshot", { snapshotter, key: id, parent: settings.parent }, { lease: id });
  return mounts ?? [];
}

export interface ContainerSettings {
  readonly image: string;
  readonly spec: RuntimeSpec;
  readonly program: RuntimeProgram;
  readonly labels: Readonly<Record<string, string>>;
}

export async function createContainer({ containerd, id, snapshotter }: RunObjects, settings: ContainerSettings): Promise<void> {
  const { image, spec, program, labels } = settings;
  const options = { typeUrl: optionsType, value: await containerd.encode("runcOptions", { binaryName: program.path }) };
  const container = {
    id,
    labels,
    image,
    runtime: { name: shim, options },
    spec: { typeUrl: specType, value: Buffer.from(JSON.stringify(spec)) },
    snapshotter,
    snapshotKey: id,
  };
  await containerd.call("createContainer", { container }).catch((error: unknown) => {
    throw containerdError("make a container", error);
  });
}

/** Ends and removes everything of one run, whatever there is of it. */
export async function removeObjects(objects: RunObjects): Promise<void> {
  const { containerd, id, snapshotter } = objects;
  // The task first: a container is deleted from under it, and nothing finds it then.
  await removeTask(objects);
  await Promise.all([
    unlessGone(containerd.call("deleteContainer", { id }), "remove a container"),
    unlessGone(containerd.call("removeSnapshot", { snapshotter, key: id }), "remove a snapshot"),
    unlessGone(containerd.call("deleteLease", { id }), "remove a lease"),
  ]);
}

async function removeTask({ containerd, id }: RunObjects): Promise<void> {
  const remove = (): Promise<unknown> => containerd.call("deleteTask", { containerId: id });
  try {
    await remove();
  } catch (error) {
    const code = grpcCodeOf(error);
    if (code === grpcCodes.notFound) return;
    // A task that runs is refused, with a code that differs from version to version.
    if (code === grpcCodes.unavailable || code === grpcCodes.deadline) throw containerdError("remove a task", error);
    await containerd.call("killTask", { containerId: id, signal: sigkill, all: true }).catch(() => undefined);
    await containerd.call("waitTask", { containerId: id }, { timeoutMs: killTimeoutMs }).catch(() => undefined);
    await unlessGone(remove(), "remove a task");
  }
}

async function unlessGone(call: Promise<unknown>, what: string): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (grpcCodeOf(error) !== grpcCodes.notFound) throw containerdError(what, error);
  }
}
