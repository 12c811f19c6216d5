import { readdirSync, readFileSync } from "node:fs";
import { callingModule, emptyCommand, vector, type Call } from "../../abuse/modules/binary.ts";
import type { ToolData } from "../backend/tools.ts";
import { command } from "./malformed.ts";
import { throwing } from "../backend/throwing.ts";

const folder = new URL("../../abuse/modules/", import.meta.url);
const echo = new URL("../../../bench/guests/echo.wasm", import.meta.url);

function data(name: string, bytes: Uint8Array): ToolData {
  return { name, base64: Buffer.from(bytes).toString("base64") };
}

/** iovec { 0xfffffff0, 32 }, { 65535, 2 }, { 0, -1 }, each at its own place. */
const wild = [0xf0, 0xff, 0xff, 0xff, 32, 0, 0, 0, 0xff, 0xff, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
/** B9: hand the host what lies outside of their memory. */
const pointers: Readonly<Record<string, Call>> = {
  "a list of buffers outside": { name: "fd_write", args: [1, 65_536, 1, 0] },
  "four billion buffers": { name: "fd_write", args: [1, 0, -1, 0] },
  "a buffer one byte too long": { name: "fd_write", args: [1, 8, 1, 1024] },
  "a buffer of negative length": { name: "fd_write", args: [1, 16, 1, 1024] },
  "a result outside": { name: "fd_write", args: [1, 24, 0, 65_533] },
  "a read to outside": { name: "fd_read", args: [0, 8, 1, 1024] },
  "random bytes of negative length": { name: "random_get", args: [0, -1] },
  "a clock outside": { name: "clock_time_get", args: [0, 0n, 65_529] },
  "a path of negative length": { name: "path_open", args: [3, 0, 0, -1, 0, 0n, 0n, 0, 0] },
  "a million subscriptions": { name: "poll_oneoff", args: [0, 0, 1_000_000, 0] },
};
export const wildNames: readonly string[] = Object.keys(pointers);

/** B12: paths that lead out of the folder that a guest has. */
export const paths = ["/", "..", "/etc/passwd", "/proc/self/environ", "tmp/../../etc/passwd", "out/../.."] as const;

function opening(path: string): Uint8Array<ArrayBuffer> {
  const bytes = [...new TextEncoder().encode(path)];
  return callingModule([{ name: "path_open", args: [3, 1, 0, bytes.length, 0, 2n, 0n, 0, 1024] }], bytes);
}

/** B13: writes its environment and its arguments. */
const looking = callingModule(
  [
    { name: "environ_get", args: [512, 1024] },
    { name: "args_get", args: [768, 1536] },
    { name: "fd_write", args: [1, 0, 1, 64] },
  ],
  [0, 4, 0, 0, 0, 4, 0, 0],
);

/** All that the worker compiles while it starts: the corpus's modules under their files' names, and those that are made here. */
export function attackTools(): ToolData[] {
  const files = readdirSync(folder).filter((name) => name.endsWith(".wasm"));
  return [
    data("echo", readFileSync(echo)),
    ...files.map((name) => data(name.slice(0, -5), readFileSync(new URL(name, folder)))),
    data("throwing", throwing()),
    ...Object.entries(pointers).map(([name, call]) => data(name, callingModule([call], wild))),
    ...paths.map((path) => data(`opens ${path}`, opening(path))),
    data("looking", looking),
    data("four gibibytes", command(vector([[0, 0x80, 0x80, 4]]))),
    data(
      "odd exports",
      emptyCommand({ exports: ["then", "catch", "__proto__", "constructor", "toJSON", "valueOf", "Symbol.toPrimitive", ""] }),
    ),
  ];
}
