import { Errno } from "../../wasi/abi.ts";
import type { FileSystem } from "../../wasi/index.ts";
import { GuestMemory } from "../../wasi/guest-memory.ts";
import { Follow, PathLookup } from "../../wasi/lookup.ts";
import type { DirectoryNode, Node } from "../../wasi/nodes.ts";
import type { RunState } from "./run-state.ts";

/** More would let the guest make the host hold descriptors without bound. */
const maxDescriptors = 1024;
const maxPathBytes = 4096;

const encoder = new TextEncoder();

const errorCodes: Readonly<Record<number, string>> = {
  [Errno.badf]: "bad-descriptor",
  [Errno.exist]: "exist",
  [Errno.fbig]: "file-too-large",
  [Errno.ilseq]: "illegal-byte-sequence",
  [Errno.inval]: "invalid",
  [Errno.isdir]: "is-directory",
  [Errno.loop]: "loop",
  [Errno.mfile]: "insufficient-memory",
  [Errno.nametoolong]: "name-too-long",
  [Errno.noent]: "no-entry",
  [Errno.nospc]: "insufficient-space",
  [Errno.notdir]: "not-directory",
  [Errno.notempty]: "not-empty",
  [Errno.notsup]: "unsupported",
  [Errno.perm]: "not-permitted",
};

/** Throws the `error-code` for an errno; jco hands it to the guest as the error case. */
export function fail(errno: number): never {
  throw errorCodes[errno] ?? "io";
}

export function check(errno: number): void {
  if (errno !== Errno.success) fail(errno);
}

/** What all descriptors of one run share. */
export class Files {
  readonly state: RunState;
  readonly fs: FileSystem;
  readonly #lookup: PathLookup;
  #open = 0;

  constructor(state: RunState) {
    this.state = state;
    this.fs = state.fs;
    // Paths come as strings, so the lookup never reads guest memory.
    this.#lookup = new PathLookup(new GuestMemory(), state.fs.root);
  }

  nowNs(): bigint {
    return this.state.clock.realtimeNs();
  }

  opened(node: Node): void {
    if (this.#open === maxDescriptors) fail(Errno.mfile);
    this.#open++;
    node.opens++;
  }

  closed(node: Node): void {
    this.#open--;
    node.opens--;
    this.fs.releaseIfUnused(node);
  }

  /** Walks to a place that may not exist; the result is good until the next walk. */
  locate(directory: DirectoryNode, path: string, follow: Follow): PathLookup {
    this.state.assertLive();
    if (path.length > maxPathBytes || encoder.encode(path).length > maxPathBytes) fail(Errno.nametoolong);
    if (path.includes("\0")) fail(Errno.inval);
    this.#lookup.path = path;
    check(this.#lookup.resolve(directory, follow));
    return this.#lookup;
  }

  /** Walks to what is there, and fits a slash at the end of the path. */
  find(directory: DirectoryNode, path: string, follow: Follow): Node {
    const { node, mustBeDirectory } = this.locate(directory, path, follow);
    if (node === undefined) fail(Errno.noent);
    if (mustBeDirectory && node.kind !== "directory") fail(Errno.notdir);
    return node;
  }
}
