/**
 * The calls of containerd's API (services of `v1`, the same in 1.6, 1.7 and 2.x) that are used here, and of their messages the fields
 * that are. A field is written as its type and number; `[]` stands for repeated, `map` for a map of strings.
 */
const messages = {
  Empty: {},
  Any: { typeUrl: "string 1", value: "bytes 2" },
  Timestamp: { seconds: "int64 1", nanos: "int32 2" },
  Mount: { type: "string 1", source: "string 2", target: "string 3", options: "string[] 4" },
  Descriptor: { mediaType: "string 1", digest: "string 2", size: "int64 3" },
  VersionResponse: { version: "string 1" },
  Named: { name: "string 1" },
  Image: { name: "string 1", target: "Descriptor 3" },
  ImageResponse: { image: "Image 1" },
  ReadRequest: { digest: "string 1", offset: "int64 2", size: "int64 3" },
  ReadPart: { offset: "int64 1", data: "bytes 2" },
  Lease: { id: "string 1", createdAt: "Timestamp 2", labels: "map 3" },
  LeaseResponse: { lease: "Lease 1" },
  DeleteLease: { id: "string 1", sync: "bool 2" },
  Filters: { filters: "string[] 1" },
  Leases: { leases: "Lease[] 1" },
  Prepare: { snapshotter: "string 1", key: "string 2", parent: "string 3", labels: "map 4" },
  Mounts: { mounts: "Mount[] 1" },
  SnapshotKey: { snapshotter: "string 1", key: "string 2" },
  Runtime: { name: "string 1", options: "Any 2" },
  Container: {
    id: "string 1",
    labels: "map 2",
    image: "string 3",
    runtime: "Runtime 4",
    spec: "Any 5",
    snapshotter: "string 6",
    snapshotKey: "string 7",
    createdAt: "Timestamp 8",
  },
  ContainerBox: { container: "Container 1" },
  Containers: { containers: "Container[] 1" },
  Id: { id: "string 1" },
  CreateTask: { containerId: "string 1", rootfs: "Mount[] 3", stdin: "string 4", stdout: "string 5", stderr: "string 6" },
  Started: { containerId: "string 1", pid: "uint32 2" },
  Task: { containerId: "string 1" },
  Kill: { containerId: "string 1", execId: "string 2", signal: "uint32 3", all: "bool 4" },
  CloseIo: { containerId: "string 1", execId: "string 2", stdin: "bool 3" },
  Exited: { exitStatus: "uint32 1", exitedAt: "Timestamp 2" },
  RuncOptions: { binaryName: "string 6", root: "string 7" },
} as const satisfies Record<string, Readonly<Record<string, string>>>;

type MessageName = keyof typeof messages;

interface Method {
  readonly path: string;
  readonly request: MessageName;
  readonly response: MessageName;
}

const service = "/containerd.services";

export const methods = {
  version: { path: `${service}.version.v1.Version/Version`, request: "Empty", response: "VersionResponse" },
  getImage: { path: `${service}.images.v1.Images/Get`, request: "Named", response: "ImageResponse" },
  readContent: { path: `${service}.content.v1.Content/Read`, request: "ReadRequest", response: "ReadPart" },
  createLease: { path: `${service}.leases.v1.Leases/Create`, request: "Lease", response: "LeaseResponse" },
  deleteLease: { path: `${service}.leases.v1.Leases/Delete`, request: "DeleteLease", response: "Empty" },
  listLeases: { path: `${service}.leases.v1.Leases/List`, request: "Filters", response: "Leases" },
  prepareSnapshot: { path: `${service}.snapshots.v1.Snapshots/Prepare`, request: "Prepare", response: "Mounts" },
  removeSnapshot: { path: `${service}.snapshots.v1.Snapshots/Remove`, request: "SnapshotKey", response: "Empty" },
  createContainer: { path: `${service}.containers.v1.Containers/Create`, request: "ContainerBox", response: "ContainerBox" },
  listContainers: { path: `${service}.containers.v1.Containers/List`, request: "Filters", response: "Containers" },
  deleteContainer: { path: `${service}.containers.v1.Containers/Delete`, request: "Id", response: "Empty" },
  createTask: { path: `${service}.tasks.v1.Tasks/Create`, request: "CreateTask", response: "Started" },
  startTask: { path: `${service}.tasks.v1.Tasks/Start`, request: "Task", response: "Empty" },
  waitTask: { path: `${service}.tasks.v1.Tasks/Wait`, request: "Task", response: "Exited" },
  killTask: { path: `${service}.tasks.v1.Tasks/Kill`, request: "Kill", response: "Empty" },
  closeIo: { path: `${service}.tasks.v1.Tasks/CloseIO`, request: "CloseIo", response: "Empty" },
  deleteTask: { path: `${service}.tasks.v1.Tasks/Delete`, request: "Task", response: "Empty" },
  /** Not a call: what stands in an `Any`. */
  runcOptions: { path: "", request: "RuncOptions", response: "Empty" },
} as const satisfies Record<string, Method>;

export type MethodName = keyof typeof methods;

type Scalar<T extends string> = T extends "string"
  ? string
  : T extends "bytes"
    ? Uint8Array
    : T extends "bool"
      ? boolean
      : T extends "map"
        ? Readonly<Record<string, string>>
        : T extends "int64" | "int32" | "uint32"
          ? number
          : T extends MessageName
            ? Message<T>
            : never;

type Field<T extends string> = T extends `${infer Type}[] ${string}`
  ? readonly Scalar<Type>[]
  : T extends `${infer Type} ${string}`
    ? Scalar<Type>
    : never;

type Fields<N extends MessageName> = (typeof messages)[N];

/** A message as it is sent, or as it comes: what is absent in it has its default then, and is `null` where that is a message. */
export type Message<N extends MessageName> = {
  readonly [F in keyof Fields<N>]?: Fields<N>[F] extends string ? Field<Fields<N>[F]> | null : never;
};

export type Request<N extends MethodName> = Message<(typeof methods)[N]["request"]>;
export type Response<N extends MethodName> = Message<(typeof methods)[N]["response"]>;

function fieldOf(text: string): object {
  const [written = "", id] = text.split(" ");
  const type = written.replace("[]", "");
  if (type === "map") return { keyType: "string", type: "string", id: Number(id) };
  return { type, id: Number(id), ...(written.endsWith("[]") ? { rule: "repeated" } : {}) };
}

/** The schema as protobufjs takes it. Names of messages and of the one service are our own: nothing of them is sent. */
export function protobufSchema(): object {
  const types = Object.entries(messages).map(([name, fields]) => [
    name,
    { fields: Object.fromEntries(Object.entries(fields).map(([field, text]) => [field, fieldOf(text)])) },
  ]);
  const calls = Object.entries(methods).map(([name, { request, response }]) => [name, { requestType: request, responseType: response }]);
  return { nested: { ...Object.fromEntries(types), Calls: { methods: Object.fromEntries(calls) } } };
}
