/** What a run of a WASI command costs by hand: no sandbox, no limits, no files, only the calls that a small tool makes. */

const decoder = new TextDecoder();

export interface HandRun {
  (input: Uint8Array): string;
}

/** Wires one module by hand: a new instance for each call, stdin from an array, stdout as text. */
export function handWire(module: WebAssembly.Module, name: string): HandRun {
  const names = WebAssembly.Module.imports(module).map(({ name }) => name);
  return (input) => {
    let memory: WebAssembly.Memory | undefined;
    let view = new DataView(new ArrayBuffer(0));
    let offset = 0;
    const output: Uint8Array[] = [];
    const look = (): DataView => {
      if (memory !== undefined && view.buffer !== memory.buffer) view = new DataView(memory.buffer);
      return view;
    };
    const eachVector = (vectors: number, count: number, take: (pointer: number, length: number) => number): number => {
      let total = 0;
      for (let index = 0; index < count; index++)
        total += take(look().getUint32(vectors + 8 * index, true), look().getUint32(vectors + 8 * index + 4, true));
      return total;
    };
    const functions: Record<string, (...parameters: never[]) => number> = {
      fd_read: (_fd: number, vectors: number, count: number, result: number) => {
        const total = eachVector(vectors, count, (pointer, length) => {
          const part = input.subarray(offset, offset + length);
          new Uint8Array(look().buffer, pointer, part.length).set(part);
          offset += part.length;
          return part.length;
        });
        look().setUint32(result, total, true);
        return 0;
      },
      fd_write: (_fd: number, vectors: number, count: number, result: number) => {
        const total = eachVector(vectors, count, (pointer, length) => {
          output.push(new Uint8Array(look().buffer, pointer, length).slice());
          return length;
        });
        look().setUint32(result, total, true);
        return 0;
      },
      args_sizes_get: (count: number, size: number) => {
        look().setUint32(count, 1, true);
        look().setUint32(size, name.length + 1, true);
        return 0;
      },
      args_get: (pointers: number, buffer: number) => {
        look().setUint32(pointers, buffer, true);
        for (let index = 0; index < name.length; index++) look().setUint8(buffer + index, name.charCodeAt(index));
        look().setUint8(buffer + name.length, 0);
        return 0;
      },
      environ_sizes_get: (count: number, size: number) => {
        look().setUint32(count, 0, true);
        look().setUint32(size, 0, true);
        return 0;
      },
      fd_fdstat_get: (fd: number, result: number) => {
        if (fd > 2) return 8;
        for (let index = 0; index < 24; index++) look().setUint8(result + index, index === 0 ? 2 : 0xff);
        look().setUint16(result + 2, 0, true);
        return 0;
      },
      random_get: (pointer: number, length: number) => {
        crypto.getRandomValues(new Uint8Array(look().buffer as ArrayBuffer, pointer, length));
        return 0;
      },
      proc_exit: (code: number) => {
        throw new Error(`exit ${code}`);
      },
    };
    const imports = { wasi_snapshot_preview1: Object.fromEntries(names.map((name) => [name, functions[name] ?? ((): number => 8)])) };
    const { exports } = new WebAssembly.Instance(module, imports);
    const { memory: exported, _start: start } = exports;
    if (!(exported instanceof WebAssembly.Memory) || typeof start !== "function") throw new TypeError("not a WASI command");
    memory = exported;
    start();
    return output.length === 1 && output[0] !== undefined
      ? decoder.decode(output[0])
      : output.map((part) => decoder.decode(part, { stream: true })).join("");
  };
}
