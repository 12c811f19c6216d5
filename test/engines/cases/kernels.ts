import type { Case } from "./observe.ts";

/** A kernel of the bench, as base64: no engine but Node reads files in Node's way. */
export interface KernelData {
  readonly file: string;
  readonly base64: string;
  /** So small that it takes a few ms. */
  readonly n: number;
}

export function kernelCase({ file, base64, n }: KernelData): Case {
  return {
    name: `kernel: ${file}`,
    bytes: Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)),
    play: (open) => {
      const whole = open();
      whole.call("run", n);
      whole.look();
      const cut = open({ limit: Math.floor(whole.used / 2) });
      cut.call("run", n);
      cut.look();
    },
  };
}
