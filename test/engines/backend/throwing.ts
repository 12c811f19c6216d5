import { Bytes } from "../../wasm-meter/encoding.ts";
import { writeModule } from "../cases/writing.ts";

const frames = 8000;

/**
 * A command that goes down some thousand frames, and there throws and catches without end. JavaScriptCore looks at all the
 * frames below for each throw: some ten microseconds that no instruction shows.
 */
export function throwing(): Uint8Array<ArrayBuffer> {
  const start = new Bytes().raw(0x41).s32(frames).raw(0x10, 1, 0x0b);
  const dive = new Bytes().raw(0x20, 0, 0x45, 0x04, 0x40, 0x03, 0x40);
  dive.raw(0x06, 0x40, 0x08, 0, 0x19, 0x0b, 0x0c, 0, 0x0b, 0x0b);
  dive.raw(0x20, 0, 0x41, 1, 0x6b, 0x10, 1, 0x0b);
  return writeModule({
    functions: [
      { name: "_start", params: [], results: [], code: start },
      { params: ["i32"], results: [], code: dive },
    ],
    memory: { min: 1 },
    tags: [[]],
  });
}
