import { Errno, LOOKUP_SYMLINK_FOLLOW, MAX_PATH_BYTES, Right } from "./abi.ts";
import { isDirectory, setTimes, writeFilestat } from "./fd-calls.ts";
import { Follow } from "./lookup.ts";
import type { Node } from "./nodes.ts";
import type { WasiState } from "./state.ts";
import { encodeUtf8 } from "./text.ts";

/** A path as the guest passes it: a descriptor and a string in its memory. */
export interface GuestPath {
  readonly fd: number;
  readonly pointer: number;
  readonly length: number;
}

/** Reads the path, checks the descriptor and walks; the result is in `state.lookup`. Returns an errno. */
export function locate(state: WasiState, path: GuestPath, need: { right: number; follow: Follow }): number {
  state.memory.refresh();
  const descriptor = state.descriptors.get(path.fd);
  if (descriptor === undefined) return Errno.badf;
  const { node } = descriptor;
  if (!isDirectory(node)) return Errno.notdir;
  const errno = state.lookup.readPath(path.pointer, path.length);
  if (errno !== Errno.success) return errno;
  if ((descriptor.rights & need.right) !== need.right) return Errno.notcapable;
  const found = state.lookup.resolve(node, need.follow);
  state.charge(state.lookup.steps);
  return found;
}

/** As {@link locate}, and something must be there that fits a slash at the end of the path. */
function locateExisting(state: WasiState, path: GuestPath, need: { right: number; follow: Follow }): Node | number {
  const errno = locate(state, path, need);
  if (errno !== Errno.success) return errno;
  const { node, mustBeDirectory } = state.lookup;
  if (node === undefined) return Errno.noent;
  return mustBeDirectory && node.kind !== "directory" ? Errno.notdir : node;
}

export function pathCreateDirectory(state: WasiState, path: GuestPath): number {
  const errno = locate(state, path, { right: Right.pathCreateDirectory, follow: Follow.never });
  if (errno !== Errno.success) return errno;
  const { directory, name, node } = state.lookup;
  if (node !== undefined) return Errno.exist;
  return state.options.fs.createDirectory(directory, name, state.nowNs());
}

export function pathFilestatGet(state: WasiState, path: GuestPath, flags: number, result: number): number {
  const node = locateExisting(state, path, { right: Right.pathFilestatGet, follow: followOf(flags) });
  if (typeof node === "number") return node;
  writeFilestat(state, node, result);
  return Errno.success;
}

export function pathFilestatSetTimes(
  state: WasiState,
  path: GuestPath,
  times: { lookup: number; access: bigint; modify: bigint; flags: number },
): number {
  const node = locateExisting(state, path, { right: Right.pathFilestatSetTimes, follow: followOf(times.lookup) });
  return typeof node === "number" ? node : setTimes(state, node, times);
}

export function pathLink(state: WasiState, from: GuestPath, flags: number, to: GuestPath): number {
  // A link to what a symbolic link leads to: recent wasmtime refuses it too.
  if ((flags & LOOKUP_SYMLINK_FOLLOW) !== 0) return Errno.inval;
  const linked = locateExisting(state, from, { right: Right.pathLinkSource, follow: Follow.never });
  if (typeof linked === "number") return linked;
  if (linked.kind === "directory") return Errno.perm;
  const errno = locate(state, to, { right: Right.pathLinkTarget, follow: Follow.never });
  if (errno !== Errno.success) return errno;
  const { directory, name, node, mustBeDirectory } = state.lookup;
  if (node !== undefined) return Errno.exist;
  if (mustBeDirectory) return Errno.noent;
  return state.options.fs.link(directory, name, { node: linked, timeNs: state.nowNs() });
}

export function pathReadlink(state: WasiState, path: GuestPath, buffer: { pointer: number; length: number; result: number }): number {
  const node = locateExisting(state, path, { right: Right.pathReadlink, follow: Follow.beforeSlash });
  if (typeof node === "number") return node;
  if (node.kind !== "symlink") return Errno.inval;
  const { memory } = state;
  const target = encodeUtf8(node.target);
  const part = target.length <= buffer.length ? target : target.subarray(0, buffer.length);
  memory.check(buffer.result, 4);
  memory.copyIn(buffer.pointer, part);
  memory.setU32(buffer.result, part.length);
  return Errno.success;
}

export function pathRemoveDirectory(state: WasiState, path: GuestPath): number {
  const node = locateExisting(state, path, { right: Right.pathRemoveDirectory, follow: Follow.never });
  if (typeof node === "number") return node;
  const { directory, name } = state.lookup;
  if (node.kind !== "directory") return Errno.notdir;
  if (name === "") return Errno.inval;
  if (node.entries.size > 0) return Errno.notempty;
  return state.options.fs.remove(directory, name, state.nowNs());
}

export function pathRename(state: WasiState, from: GuestPath, to: GuestPath): number {
  const moved = locateExisting(state, from, { right: Right.pathRenameSource, follow: Follow.never });
  if (typeof moved === "number") return moved;
  const source = { directory: state.lookup.directory, name: state.lookup.name };
  const errno = locate(state, to, { right: Right.pathRenameTarget, follow: Follow.never });
  if (errno !== Errno.success) return errno;
  const { directory, name, node: replaced, mustBeDirectory } = state.lookup;
  if (source.name === "" || name === "") return Errno.inval;
  if (moved.kind === "directory") {
    if (replaced !== undefined && replaced.kind !== "directory") return Errno.notdir;
    if (replaced !== undefined && replaced !== moved && replaced.entries.size > 0) return Errno.notempty;
  } else {
    if (replaced?.kind === "directory") return Errno.isdir;
    if (mustBeDirectory) return Errno.notdir;
  }
  return state.options.fs.rename(source, { directory, name }, state.nowNs());
}

export function pathSymlink(state: WasiState, target: { pointer: number; length: number }, path: GuestPath): number {
  state.memory.refresh();
  let errno = state.lookup.readPath(target.pointer, target.length);
  if (errno !== Errno.success) return errno;
  const text = state.lookup.path;
  errno = locate(state, path, { right: Right.pathSymlink, follow: Follow.never });
  if (errno !== Errno.success) return errno;
  const { directory, name, node, mustBeDirectory } = state.lookup;
  if (text === "") return Errno.noent;
  // It could never be followed, and what reads it must not take it for a path of the host's.
  if (text.startsWith("/")) return Errno.perm;
  if (node !== undefined) return mustBeDirectory && node.kind !== "directory" ? Errno.notdir : Errno.exist;
  if (mustBeDirectory) return Errno.noent;
  return state.options.fs.createSymlink(directory, name, {
    target: text,
    targetBytes: Math.min(target.length, MAX_PATH_BYTES),
    timeNs: state.nowNs(),
  });
}

export function pathUnlinkFile(state: WasiState, path: GuestPath): number {
  const node = locateExisting(state, path, { right: Right.pathUnlinkFile, follow: Follow.never });
  if (typeof node === "number") return node;
  const { directory, name } = state.lookup;
  if (node.kind === "directory") return Errno.isdir;
  return state.options.fs.remove(directory, name, state.nowNs());
}

export function followOf(flags: number): Follow {
  return (flags & LOOKUP_SYMLINK_FOLLOW) === 0 ? Follow.beforeSlash : Follow.always;
}
