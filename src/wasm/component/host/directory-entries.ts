import type { DirectoryNode, Node } from "../../wasi/nodes.ts";

export type NodeType = "regular-file" | "directory" | "symbolic-link";

export function typeOf({ kind }: Node): NodeType {
  if (kind === "file") return "regular-file";
  return kind === "directory" ? "directory" : "symbolic-link";
}

export class DirectoryEntryStream {
  readonly #entries: DirectoryNode["entries"];
  readonly #names: IterableIterator<string>;

  constructor(directory: DirectoryNode) {
    this.#entries = directory.entries;
    this.#names = directory.entries.keys();
  }

  readDirectoryEntry(): { readonly type: NodeType; readonly name: string } | undefined {
    for (let next = this.#names.next(); next.done !== true; next = this.#names.next()) {
      const entry = this.#entries.get(next.value);
      if (entry !== undefined) return { type: typeOf(entry.node), name: next.value };
    }
    return undefined;
  }
}
