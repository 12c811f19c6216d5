import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FileSystem } from "../../src/wasm/wasi/index.ts";
import { Sandbox } from "./sandbox.ts";

/** The oracle: a file is an array of bytes, a descriptor an offset into it. */
class Model {
  bytes: number[];
  offset = 0;
  append = false;
  readonly limit: number;

  constructor(bytes: readonly number[], limit: number) {
    this.bytes = [...bytes];
    this.limit = limit;
  }

  resize(size: number): boolean {
    if (size > this.limit && size > this.bytes.length) return false;
    while (this.bytes.length < size) this.bytes.push(0);
    this.bytes.length = size;
    return true;
  }

  /** How many bytes go in. */
  put(data: readonly number[], at: number): number {
    if (data.length === 0) return 0;
    const room = Math.min(data.length, this.limit - at);
    if (room <= 0) return -1;
    while (this.bytes.length < at) this.bytes.push(0);
    this.bytes.splice(at, room, ...data.slice(0, room));
    return room;
  }

  take(at: number, length: number): number[] {
    return this.bytes.slice(at, at + length);
  }
}

type Step =
  | { kind: "write" | "pwrite"; data: number[]; at: number }
  | { kind: "read" | "pread"; length: number; at: number }
  | { kind: "seek"; whence: number; by: number }
  | { kind: "truncate" | "allocate"; size: number }
  | { kind: "append"; on: boolean }
  | { kind: "reopen"; truncate: boolean };

const LIMIT = 3000;
const position = fc.oneof(fc.nat(40), fc.nat(700), fc.nat(LIMIT + 200));
const data = fc.oneof(
  fc.array(fc.integer({ min: 1, max: 255 }), { maxLength: 8 }),
  fc.tuple(fc.integer({ min: 1, max: 255 }), fc.nat(1500)).map(([byte, length]) => Array.from({ length }, () => byte)),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom("write" as const, "pwrite" as const), data, at: position }),
  fc.record({ kind: fc.constantFrom("read" as const, "pread" as const), length: fc.nat(2000), at: position }),
  fc.record({ kind: fc.constant("seek" as const), whence: fc.nat(2), by: fc.integer({ min: -900, max: 900 }) }),
  fc.record({ kind: fc.constantFrom("truncate" as const, "allocate" as const), size: position }),
  fc.record({ kind: fc.constant("append" as const), on: fc.boolean() }),
  fc.record({ kind: fc.constant("reopen" as const), truncate: fc.boolean() }),
);

type Answer = readonly number[] | number | bigint;

const NOSPC = 51;
const INVAL = 28;

/** What the oracle says: bytes read, bytes written, the place reached, or an errno as a negative number. */
function predict(model: Model, next: Step): Answer {
  switch (next.kind) {
    case "write":
    case "pwrite": {
      const at = model.append ? model.bytes.length : next.kind === "write" ? model.offset : next.at;
      const written = model.put(next.data, at);
      if (written < 0) return -NOSPC;
      if (next.kind === "write") model.offset = at + written;
      return written;
    }
    case "read": {
      const bytes = model.take(model.offset, next.length);
      model.offset += bytes.length;
      return bytes;
    }
    case "pread":
      return model.take(next.at, next.length);
    case "seek": {
      const target = ([0, model.offset, model.bytes.length][next.whence] ?? 0) + next.by;
      if (target < 0) return -INVAL;
      model.offset = target;
      return BigInt(target);
    }
    case "truncate":
      return model.resize(next.size) ? 0 : -NOSPC;
    case "allocate":
      return next.size + 1 <= model.bytes.length || model.resize(next.size + 1) ? 0 : -NOSPC;
    case "append":
      model.append = next.on;
      return 0;
    case "reopen":
      if (next.truncate) model.resize(0);
      model.offset = 0;
      model.append = false;
      return 0;
  }
}

/** What the real thing does, in the same terms. The descriptor is always the lowest free one, so it stays the same. */
function act(sandbox: Sandbox, fd: number, next: Step): Answer {
  switch (next.kind) {
    case "write":
    case "pwrite": {
      const bytes = Uint8Array.from(next.data);
      const { errno, count } = next.kind === "write" ? sandbox.tryWrite(fd, bytes) : sandbox.tryPwrite(fd, bytes, BigInt(next.at));
      return errno === 0 ? count : -errno;
    }
    case "read":
      return [...sandbox.read(fd, next.length)];
    case "pread":
      return [...sandbox.pread(fd, next.length, BigInt(next.at))];
    case "seek": {
      const { errno, position: reached } = sandbox.seek(fd, BigInt(next.by), next.whence);
      return errno === 0 ? reached : -errno;
    }
    case "truncate":
      return 0 - sandbox.call.fd_filestat_set_size(fd, BigInt(next.size));
    case "allocate":
      return 0 - sandbox.call.fd_allocate(fd, 0n, BigInt(next.size + 1));
    case "append":
      return 0 - sandbox.call.fd_fdstat_set_flags(fd, next.on ? 1 : 0);
    case "reopen": {
      const closed = sandbox.call.fd_close(fd);
      return closed + (sandbox.open("file", { flags: next.truncate ? 8 : 0 }) - fd);
    }
  }
}

describe("a file behaves as an array of bytes", () => {
  it.each([
    ["of the guest's own", undefined],
    ["that the host put in", Uint8Array.from({ length: 300 }, (_, index) => (index % 255) + 1)],
  ])("%s", (_name, initial) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const fs = new FileSystem({ readOnlyRoot: false, maxBytes: LIMIT });
        if (initial !== undefined) fs.addFile("file", initial, { readOnly: false });
        fs.preopen("/");
        const sandbox = new Sandbox({ fs });
        const model = new Model([...(initial ?? [])], LIMIT);
        const copy = initial?.slice();
        const fd = sandbox.openFile("file");
        for (const next of steps) {
          const want = predict(model, next);
          expect([next, act(sandbox, fd, next)]).toEqual([next, want]);
          expect(sandbox.fstat(fd).size).toBe(BigInt(model.bytes.length));
        }
        expect([...(fs.readFile("file") ?? [])]).toEqual(model.bytes);
        expect(initial).toEqual(copy);
        expect(sandbox.call.fd_close(fd)).toBe(0);
        expect(sandbox.onPath("path_unlink_file", "file")).toBe(0);
        expect(fs.quota.bytesLeft).toBe(LIMIT);
      }),
      { numRuns: 400 },
    );
  });
});
