import { encodeName, encodeU32, Reader } from "../binary.ts";
import { Writer } from "./writer.ts";

const moduleName = 0;
const functionNames = 1;

/**
 * The name section's content with the functions' names at their new indices (the name section of the specification's
 * appendix, §7.4.1). Names of locals and of all else are left out. What cannot be read is left out too: it is for people only.
 */
export function moveNames(content: Uint8Array, moved: (index: number) => number): Uint8Array {
  const out = new Writer(content.length + 16);
  out.put(...encodeName("name"));
  const reader = new Reader(content);
  try {
    while (!reader.isAtEnd) {
      const id = reader.byte();
      const subsection = new Reader(reader.take(reader.u32()));
      const moves = id === functionNames ? moveFunctions(subsection, moved) : subsection.rest();
      if (id !== functionNames && id !== moduleName) continue;
      out.byte(id);
      out.u32(moves.length);
      out.append(moves);
    }
  } catch {
    // A custom section need not follow any format.
  }
  return out.bytes();
}

function moveFunctions(reader: Reader, moved: (index: number) => number): Uint8Array {
  const out = new Writer(reader.end + 16);
  const count = reader.u32();
  out.put(...encodeU32(count));
  for (let left = count; left > 0; left--) {
    out.u32(moved(reader.u32()));
    const name = reader.take(reader.u32());
    out.u32(name.length);
    out.append(name);
  }
  return out.bytes();
}
