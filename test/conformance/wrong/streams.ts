import { changeIo, wrongBackend, type WrongRuntime } from "./wrap.ts";

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export const wrongStreams: readonly WrongRuntime[] = [
  {
    name: "loses the piece of stdout that passes 100 kB",
    base: "wasm",
    fails: ["stdin-large", "streams-large", "events-sequence"],
    open: wrongBackend(() => (run, plan, io) => {
      let total = 0;
      const stdout = (bytes: Uint8Array): void | Promise<void> => {
        const before = total;
        total += bytes.length;
        return before <= 100_000 && total > 100_000 ? undefined : io.stdout(bytes);
      };
      return run(plan, changeIo(io, { stdout }));
    }),
  },
  {
    name: "gives stderr out as stdout",
    base: "wasm",
    fails: [
      "exit-failure-keeps-streams",
      "streams-separate",
      "streams-no-final-newline",
      "streams-large",
      "streams-invalid-utf8",
      "capture-truncates",
      "capture-truncates-stderr",
      "events-sequence",
      "events-back-pressure",
      "concurrent-runs",
    ],
    open: wrongBackend(() => (run, plan, io) => run(plan, changeIo(io, { stderr: (bytes) => io.stdout(bytes) }))),
  },
  {
    name: "decodes each piece of stdout as text",
    base: "wasm",
    fails: ["streams-invalid-utf8", "streams-split-character", "files-in"],
    open: wrongBackend(
      () => (run, plan, io) => run(plan, changeIo(io, { stdout: (bytes) => io.stdout(encoder.encode(decoder.decode(bytes))) })),
    ),
  },
  {
    name: "cuts stdin at 64 KiB",
    base: "wasm",
    fails: ["stdin-large"],
    open: wrongBackend(() => (run, plan, io) => run(plan, changeIo(io, { stdin: io.stdin.subarray(0, 65_536) }))),
  },
  {
    name: "says exit code 0 of every tool",
    base: "wasm",
    fails: ["exit-code", "exit-failure-keeps-streams", "exit-trap", "output-of-failure", "files-out-of-failure", "memory-limit"],
    open: wrongBackend(() => async (run, plan, io) => ({ ...(await run(plan, io)), exit: { kind: "exited", code: 0 } })),
  },
];
