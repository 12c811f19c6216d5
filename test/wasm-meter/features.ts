import { Bytes, moduleHeader } from "./encoding.ts";

/** What this engine takes, besides what each of them has taken for years. */
export interface Features {
  readonly functionReferences: boolean;
  readonly exceptions: boolean;
  readonly oldExceptions: boolean;
  readonly tailCalls: boolean;
  readonly extendedConstants: boolean;
  readonly relaxedSimd: boolean;
}

/** Whether a module of one function with this body validates. */
function takes(body: readonly number[]): boolean {
  const code = new Bytes().u32(1).sized(new Bytes().u32(0).raw(...body, 0x0b));
  const bytes = new Bytes()
    .raw(...moduleHeader)
    .raw(1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0)
    .raw(10)
    .sized(code);
  return WebAssembly.validate(Uint8Array.from(bytes.out));
}

export function detectFeatures(): Features {
  const constant = [1, 4, 1, 0x60, 0, 0, 6, 9, 1, 0x7f, 0, 0x41, 1, 0x41, 2, 0x6a, 0x0b];
  return {
    functionReferences: takes([0xd0, 0, 0x14, 0]),
    exceptions: takes([0x1f, 0x40, 0, 0x0b]),
    oldExceptions: takes([0x06, 0x40, 0x19, 0x0b]),
    tailCalls: takes([0x12, 0]),
    extendedConstants: WebAssembly.validate(Uint8Array.from([...moduleHeader, ...constant])),
    relaxedSimd: takes([...zero, ...zero, 0xfd, 0x80, 0x02, 0x1a]),
  };
}

const zero = [0xfd, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
