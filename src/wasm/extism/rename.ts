import { encodeName, encodeU32, Reader, readSections, sectionIds, writeModule } from "../binary.ts";

/** How {@link renameModule} changes names; a name that it gives back is kept. */
export interface Renames {
  readonly namespace: (namespace: string) => string;
  readonly exported: (name: string) => string;
}

/**
 * Gives imported namespaces and exports other names.
 *
 * @param bytes a module whose imports are all functions, as ingest hands it out
 */
export function renameModule(bytes: Uint8Array, renames: Renames): Uint8Array<ArrayBuffer> {
  const sections = [...readSections(bytes)].map(({ id, start, end }) => {
    if (id === sectionIds.import) return { id, content: renameImports(new Reader(bytes, start, end), renames) };
    if (id === sectionIds.export) return { id, content: renameExports(new Reader(bytes, start, end), renames) };
    return { id, content: bytes.subarray(start, end) };
  });
  return writeModule(sections);
}

function renameImports(reader: Reader, { namespace }: Renames): Uint8Array {
  const count = reader.u32();
  const content = encodeU32(count);
  for (let left = count; left > 0; left--) {
    content.push(...encodeName(namespace(reader.name())), ...encodeName(reader.name()), reader.byte(), ...encodeU32(reader.u32()));
  }
  return Uint8Array.from(content);
}

function renameExports(reader: Reader, { exported }: Renames): Uint8Array {
  const count = reader.u32();
  const content = encodeU32(count);
  for (let left = count; left > 0; left--) {
    content.push(...encodeName(exported(reader.name())), reader.byte(), ...encodeU32(reader.u32()));
  }
  return Uint8Array.from(content);
}
