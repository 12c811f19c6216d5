/** Builds modules that no assembler makes. */

export function u32(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return bytes;
}

function signed(value: bigint): number[] {
  const bytes: number[] = [];
  for (let rest = value; ;) {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    const isLast = (rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0);
    bytes.push(isLast ? low : low | 0x80);
    if (isLast) return bytes;
  }
}

export function vector(items: readonly (readonly number[])[]): number[] {
  return [...u32(items.length), ...items.flat()];
}

export function nameOf(text: string | readonly number[]): number[] {
  const bytes = typeof text === "string" ? [...new TextEncoder().encode(text)] : text;
  return [...u32(bytes.length), ...bytes];
}

export function section(id: number, content: readonly number[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([id, ...u32(content.length), ...content]);
}

export function moduleOf(...sections: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...sections.flatMap((one) => [...one])]);
}

export const types = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c } as const;
export const kinds = { function: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;

export function functionType(parameters: readonly number[], results: readonly number[] = []): number[] {
  return [0x60, ...u32(parameters.length), ...parameters, ...u32(results.length), ...results];
}

export function functionBody(...code: readonly number[]): number[] {
  const body = [0, ...code, 0x0b];
  return [...u32(body.length), ...body];
}

export interface Call {
  readonly name: string;
  /** A number is an `i32`, a bigint an `i64`. */
  readonly args: readonly (number | bigint)[];
  /** Whether it gives back an errno; `proc_exit` does not. Default `true`. */
  readonly hasResult?: boolean;
}

/**
 * A command that stores some bytes at address 0 of its one page, makes the calls one after the other, and ends with the
 * last errno as its exit code.
 */
export function callingModule(calls: readonly Call[], data: readonly number[] = []): Uint8Array<ArrayBuffer> {
  const exit: Call = { name: "proc_exit", args: [0], hasResult: false };
  const imported = [...calls, exit];
  const typeOf = ({ args, hasResult = true }: Call): number[] =>
    functionType(
      args.map((arg) => (typeof arg === "bigint" ? types.i64 : types.i32)),
      hasResult ? [types.i32] : [],
    );
  const constant = (arg: number | bigint): number[] =>
    typeof arg === "bigint" ? [0x42, ...signed(arg)] : [0x41, ...signed(BigInt(arg | 0))];
  const code = calls.flatMap(({ args, hasResult = true }, index) => [
    ...args.flatMap(constant),
    0x10,
    ...u32(index),
    ...(hasResult ? [0x21, 0] : []),
  ]);
  const body = [1, 1, types.i32, ...code, 0x20, 0, 0x10, ...u32(calls.length), 0x0b];
  return moduleOf(
    section(1, vector([...imported.map(typeOf), functionType([])])),
    section(
      2,
      vector(imported.map(({ name }, index) => [...nameOf("wasi_snapshot_preview1"), ...nameOf(name), kinds.function, ...u32(index)])),
    ),
    section(3, vector([u32(imported.length)])),
    section(5, vector([[0, 1]])),
    section(
      7,
      vector([
        [...nameOf("_start"), kinds.function, ...u32(imported.length)],
        [...nameOf("memory"), kinds.memory, 0],
      ]),
    ),
    section(10, vector([[...u32(body.length), ...body]])),
    section(11, vector([[0, 0x41, 0, 0x0b, ...u32(data.length), ...data]])),
  );
}

/** Added to an errno it is a printable character. */
const errnoBase = 48;

/**
 * A command that stores some bytes at address 0 of its one page, makes the calls one after the other whatever they answer, and
 * writes a character for each errno to stdout; see {@link errnosOf}.
 */
export function probingModule(calls: readonly Call[], data: readonly number[] = []): Uint8Array<ArrayBuffer> {
  const [answers, iovec] = [0x8000, 0x7ff0];
  const write: Call = { name: "fd_write", args: [1, iovec, 1, iovec + 8] };
  const imported = [...calls, write];
  const typeOf = ({ args }: Call): number[] =>
    functionType(
      args.map((arg) => (typeof arg === "bigint" ? types.i64 : types.i32)),
      [types.i32],
    );
  const constant = (arg: number | bigint): number[] =>
    typeof arg === "bigint" ? [0x42, ...signed(arg)] : [0x41, ...signed(BigInt(arg | 0))];
  const call = ({ args }: Call, index: number): number[] => [...args.flatMap(constant), 0x10, ...u32(index)];
  const store8 = (at: number, value: readonly number[]): number[] => [...constant(at), ...value, 0x3a, 0, 0];
  const store32 = (at: number, value: number): number[] => [...constant(at), ...constant(value), 0x36, 2, 0];
  const code = calls.flatMap((one, index) => store8(answers + index, [...call(one, index), ...constant(errnoBase), 0x6a]));
  const body = [0, ...code, ...store32(iovec, answers), ...store32(iovec + 4, calls.length), ...call(write, calls.length), 0x1a, 0x0b];
  return moduleOf(
    section(1, vector([...imported.map(typeOf), functionType([])])),
    section(
      2,
      vector(imported.map(({ name }, index) => [...nameOf("wasi_snapshot_preview1"), ...nameOf(name), kinds.function, ...u32(index)])),
    ),
    section(3, vector([u32(imported.length)])),
    section(5, vector([[0, 1]])),
    section(
      7,
      vector([
        [...nameOf("_start"), kinds.function, ...u32(imported.length)],
        [...nameOf("memory"), kinds.memory, 0],
      ]),
    ),
    section(10, vector([[...u32(body.length), ...body]])),
    section(11, vector([[0, 0x41, 0, 0x0b, ...u32(data.length), ...data]])),
  );
}

/** What a {@link probingModule} wrote. */
export function errnosOf(stdout: string): number[] {
  return [...stdout].map((character) => (character.codePointAt(0) ?? 0) - errnoBase);
}

/** A command that does nothing, with further exports of its one function and further imports. */
export function emptyCommand(
  options: { readonly exports?: readonly (string | readonly number[])[]; readonly imports?: readonly Uint8Array[] } = {},
): Uint8Array<ArrayBuffer> {
  const exports = options.exports ?? [];
  return moduleOf(
    section(1, vector([functionType([])])),
    ...(options.imports ?? []),
    section(3, vector([[0]])),
    section(5, vector([[0, 1]])),
    section(
      7,
      vector([[...nameOf("memory"), kinds.memory, 0], ...["_start", ...exports].map((name) => [...nameOf(name), kinds.function, 0])]),
    ),
    section(10, vector([functionBody()])),
  );
}

/** A command that does nothing, with so many functions besides that add one so many times: all of it has to be compiled. */
export function manyFunctions(count: number, additions: number): Uint8Array<ArrayBuffer> {
  // local.get 0, i32.const 1, i32.add, local.set 0
  const step = [0x20, 0, 0x41, 1, 0x6a, 0x21, 0];
  const body = [1, 1, types.i32, ...Array.from({ length: additions }, () => step).flat(), 0x0b];
  const one = Uint8Array.from([...u32(body.length), ...body]);
  const empty = functionBody();
  const code = new Uint8Array(one.length * count + empty.length);
  code.set(empty);
  for (let index = 0; index < count; index++) code.set(one, empty.length + index * one.length);
  const head = [...u32(count + 1)];
  const whole = Buffer.concat([
    moduleOf(
      section(1, vector([functionType([])])),
      section(3, vector(Array.from({ length: count + 1 }, () => [0]))),
      section(5, vector([[0, 1]])),
      section(7, vector([[...nameOf("memory"), kinds.memory, 0], [...nameOf("_start"), kinds.function, 0]])), // oxfmt-ignore
    ),
    Uint8Array.from([10, ...u32(head.length + code.length), ...head]),
    code,
  ]);
  return Uint8Array.from(whole);
}

/** An import section with one import. */
export function importOf(
  namespace: string | readonly number[],
  name: string | readonly number[],
  description: readonly number[],
): Uint8Array<ArrayBuffer> {
  return section(2, vector([[...nameOf(namespace), ...nameOf(name), ...description]]));
}

/** A custom section, for modules of any size. */
export function padding(bytes: number): Uint8Array<ArrayBuffer> {
  const head = [0, ...u32(bytes + 1), 0];
  const whole = new Uint8Array(head.length + bytes);
  whole.set(head);
  return whole;
}
