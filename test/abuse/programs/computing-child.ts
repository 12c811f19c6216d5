/**
 * The program of a process for tools one of whose host functions never comes back: whoever asks it for random bytes is in there
 * for good, and with it the process's event loop. No checkpoint, no message and no signal but one reaches it.
 */
crypto.getRandomValues = () => {
  for (;;);
};
await import("../../../src/wasm/process/child.ts");
