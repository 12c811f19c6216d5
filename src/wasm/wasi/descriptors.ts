import { Errno, STDIN_RIGHTS, STDOUT_RIGHTS } from "./abi.ts";
import type { FileSystem } from "./file-system.ts";
import type { DirectoryNode, FileNode } from "./nodes.ts";

/** More would let the guest make the host hold descriptors without bound. */
const MAX_DESCRIPTORS = 1024;

export type Stream = "stdin" | "stdout" | "stderr";

/** One open descriptor. `fd_renumber` moves it, so what it is stands in it and not in its number. */
export class Descriptor {
  readonly node: Stream | FileNode | DirectoryNode;
  /** For regular files: where the next read or write starts. */
  offset = 0;
  flags: number;
  rights: number;
  inheriting: number;
  readonly preopenName: string | undefined;

  constructor(
    node: Stream | FileNode | DirectoryNode,
    access: { rights: number; inheriting: number; flags: number; preopenName?: string },
  ) {
    this.node = node;
    this.flags = access.flags;
    this.rights = access.rights;
    this.inheriting = access.inheriting;
    this.preopenName = access.preopenName;
  }
}

/** The guest's descriptors by number; a new one gets the lowest that is free. */
export class DescriptorTable {
  readonly #fileSystem: FileSystem;
  readonly #slots: (Descriptor | undefined)[];

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
    const slots: (Descriptor | undefined)[] = [
      new Descriptor("stdin", { rights: STDIN_RIGHTS, inheriting: 0, flags: 0 }),
      new Descriptor("stdout", { rights: STDOUT_RIGHTS, inheriting: 0, flags: 0 }),
      new Descriptor("stderr", { rights: STDOUT_RIGHTS, inheriting: 0, flags: 0 }),
    ];
    for (const { node, name, rights, inheriting } of fileSystem.preopens) {
      node.opens++;
      slots.push(new Descriptor(node, { rights, inheriting, flags: 0, preopenName: name }));
    }
    this.#slots = slots;
  }

  get(fd: number): Descriptor | undefined {
    return this.#slots[fd >>> 0];
  }

  get isFull(): boolean {
    return this.#slots.length >= MAX_DESCRIPTORS && !this.#slots.includes(undefined);
  }

  /** The number of a new descriptor. The caller has made sure that there is room. */
  add(descriptor: Descriptor): number {
    const slots = this.#slots;
    const free = slots.indexOf(undefined);
    const fd = free < 0 ? slots.length : free;
    slots[fd] = descriptor;
    if (typeof descriptor.node === "object") descriptor.node.opens++;
    return fd;
  }

  close(fd: number): number {
    const descriptor = this.#slots[fd >>> 0];
    if (descriptor === undefined) return Errno.badf;
    this.#slots[fd >>> 0] = undefined;
    this.#release(descriptor);
    return Errno.success;
  }

  /** Moves a descriptor onto another one that is open, which is closed. */
  renumber(from: number, to: number): number {
    const moved = this.#slots[from >>> 0];
    const replaced = this.#slots[to >>> 0];
    if (moved === undefined || replaced === undefined) return Errno.badf;
    if (moved === replaced) return Errno.success;
    this.#slots[to >>> 0] = moved;
    this.#slots[from >>> 0] = undefined;
    this.#release(replaced);
    return Errno.success;
  }

  #release({ node }: Descriptor): void {
    if (typeof node !== "object") return;
    node.opens--;
    this.#fileSystem.releaseIfUnused(node);
  }
}
