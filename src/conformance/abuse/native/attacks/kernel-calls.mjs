// Asks the kernel for what no tool needs, and says which calls it did not refuse. Node makes none of them, so they are made by a program
// that is written here: one call after the other, with the answers on stdout.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";

const [, kernel] = process.argv.slice(2);
const base = 0x40_00_00n;
const headBytes = 120n;
const dataBytes = 4096;
const minusOne = 0xff_ff_ff_ff_ff_ff_ff_ffn;

/** How a machine is told to put a number into the n-th register of a call (0: which call), to call, and to store the answer. */
const machines = {
  x64: {
    elf: 62,
    number: 0,
    set: (at, value) => [at > 3 ? 0x49 : 0x48, 0xb8 + [0, 7, 6, 2, 2, 0, 1][at], ...bytesOf(value, 8)],
    call: [0x0f, 0x05],
    store: (address) => [0x48, 0xa3, ...bytesOf(address, 8)],
  },
  arm64: {
    elf: 183,
    number: 1,
    set: (at, value) => load(at === 0 ? 8 : at - 1, value),
    call: bytesOf(0xd4_00_00_01n, 4),
    store: (address) => [...load(9, address), ...bytesOf(0xf9_00_01_20n, 4)],
  },
};
const machine = machines[process.arch];

function bytesOf(value, size) {
  return Array.from({ length: size }, (_, at) => Number((value >> BigInt(8 * at)) & 0xffn));
}

function load(register, value) {
  return [0n, 1n, 2n, 3n].flatMap((part) => {
    const instruction = part === 0n ? 0xd2_80_00_00n : 0xf2_80_00_00n;
    return bytesOf(instruction | (part << 21n) | (((value >> (16n * part)) & 0xffffn) << 5n) | BigInt(register), 4);
  });
}

// Each with what a kernel that lets it through would do or object to. `own`: a kernel of the tool's own may do it, for its processes alone.
const calls = [
  { name: "ptrace", numbers: [101, 117], own: true, give: () => [0n, 0n, 0n, 0n] },
  { name: "bpf", numbers: [321, 280], give: (zeros) => [0n, zeros, 64n] },
  { name: "userfaultfd", numbers: [323, 282], give: () => [1n] },
  { name: "io_uring_setup", numbers: [425, 425], own: true, give: (zeros) => [1n, zeros] },
  { name: "keyctl", numbers: [250, 219], own: true, give: () => [0n, minusOne - 2n, 1n] },
  { name: "unshare(USER)", numbers: [272, 97], own: true, give: () => [0x10_00_00_00n] },
  { name: "setns", numbers: [308, 268], own: true, give: () => [minusOne, 0n] },
  { name: "mount", numbers: [165, 40], give: (zeros, text) => [text("none"), text("/tmp"), text("tmpfs"), 0n, 0n] },
  { name: "kexec_load", numbers: [246, 104], give: (zeros) => [0n, 1000n, zeros, 0n] },
  { name: "init_module", numbers: [175, 105], give: (zeros) => [zeros, 0n, zeros] },
  { name: "open_by_handle_at", numbers: [304, 265], give: (zeros) => [minusOne - 99n, zeros, 0n] },
  { name: "perf_event_open", numbers: [298, 241], give: (zeros) => [zeros, 0n, minusOne, minusOne, 0n] },
  { name: "process_vm_readv", numbers: [310, 270], own: true, give: (zeros) => [1n, zeros, 1n, zeros, 1n, 0n] },
  { name: "reboot", numbers: [169, 142], give: () => [0n, 0n, 0n, 0n] },
].filter(({ own }) => kernel === "host" || own !== true);

/** An ELF file of one segment that may be read, written and executed: each value with how many bytes it takes. */
function headOf(size) {
  const fields = [
    [0x01_01_02_46_4c_45_7fn, 16],
    [2, 2],
    [machine.elf, 2],
    [1, 4],
    [base + headBytes, 8],
    [64, 8],
    [0, 12],
    [64, 2],
    [56, 2],
    [1, 2],
    [0, 6],
    [1, 4],
    [7, 4],
    [0, 8],
    [base, 8],
    [base, 8],
    [size, 8],
    [size, 8],
    [0x1_00_00, 8],
  ];
  return fields.flatMap(([value, bytes]) => bytesOf(BigInt(value), bytes));
}

function programOf(steps) {
  const data = new Uint8Array(dataBytes);
  const encoder = new TextEncoder();
  // All addresses have the same length in code, so the length is known before they are.
  const assemble = (dataAt) => {
    const zeros = dataAt + 512n;
    let used = 1024;
    const text = (value) => {
      const at = used;
      used += encoder.encodeInto(`${value}\0`, data.subarray(at)).written;
      return dataAt + BigInt(at);
    };
    const one = ([number, ...args]) => [number, ...args].flatMap((value, at) => machine.set(at, value)).concat(machine.call);
    const made = steps.flatMap(({ numbers, give }, at) => [
      ...one([BigInt(numbers[machine.number]), ...give(zeros, text)]),
      ...machine.store(dataAt + BigInt(8 * at)),
    ]);
    const [write, exit] = machine.number === 0 ? [1n, 231n] : [64n, 94n];
    return [...made, ...one([write, 1n, dataAt, BigInt(8 * steps.length)]), ...one([exit, 0n])];
  };
  const codeBytes = BigInt(assemble(0n).length);
  // On the next multiple of eight, as some machines store no other way.
  const offset = (headBytes + codeBytes + 7n) & ~7n;
  data.fill(0);
  const code = assemble(base + offset);
  const size = offset + BigInt(dataBytes);
  const whole = new Uint8Array(Number(size));
  whole.set(headOf(size));
  whole.set(code, Number(headBytes));
  whole.set(data, Number(offset));
  return whole;
}

writeFileSync("tmp/calls", programOf(calls), { mode: 0o700 });
const { stdout, error, signal } = spawnSync("tmp/calls", { maxBuffer: 65_536 });
if (error !== undefined || signal !== null) throw new Error("the calls could not be made", { cause: error ?? signal });
const answers = new DataView(stdout.buffer, stdout.byteOffset, stdout.length);
// EPERM and ENOSYS, and of a kernel that does not know such a thing ENODEV and EOPNOTSUPP.
const refusals = new Set(kernel === "host" ? [-1n, -38n] : [-1n, -38n, -19n, -95n]);
for (const [at, { name }] of calls.entries()) {
  const answer = answers.getBigInt64(8 * at, true);
  if (!refusals.has(answer)) console.log(`${name}: ${answer < 0n ? `error ${-answer}` : "done"}`);
}
console.log("looked");
