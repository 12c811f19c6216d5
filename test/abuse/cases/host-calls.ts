import { expect } from "vitest";
import { callingModule, emptyCommand, errnosOf, probingModule, type Call } from "../modules/binary.ts";
import type { Attack } from "../wasm-attacker.ts";
import { canary, defineAttack } from "../wasm-target.ts";
import { each, type WasmCase } from "./case.ts";

/** iovec { 0xfffffff0, 32 }, { 65535, 2 }, { 0, -1 }, each at its own place. */
const wild = [0xf0, 0xff, 0xff, 0xff, 32, 0, 0, 0, 0xff, 0xff, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
const pointers: Readonly<Record<string, Call>> = {
  "a list of buffers outside": { name: "fd_write", args: [1, 65_536, 1, 0] },
  "a negative pointer": { name: "fd_write", args: [1, -8, 1, 0] },
  "a list that ends outside": { name: "fd_write", args: [1, 65_532, 1, 0] },
  "four billion buffers": { name: "fd_write", args: [1, 0, -1, 0] },
  "a buffer outside": { name: "fd_write", args: [1, 0, 1, 1024] },
  "a buffer one byte too long": { name: "fd_write", args: [1, 8, 1, 1024] },
  "a buffer of negative length": { name: "fd_write", args: [1, 16, 1, 1024] },
  "a result outside": { name: "fd_write", args: [1, 24, 0, 65_533] },
  "a read to outside": { name: "fd_read", args: [0, 8, 1, 1024] },
  "random bytes outside": { name: "random_get", args: [65_000, 1000] },
  "random bytes of negative length": { name: "random_get", args: [0, -1] },
  "a clock outside": { name: "clock_time_get", args: [0, 0n, 65_529] },
  "a path outside": { name: "path_open", args: [3, 0, 65_530, 10, 0, 0n, 0n, 0, 0] },
  "a path of negative length": { name: "path_open", args: [3, 0, 0, -1, 0, 0n, 0n, 0, 0] },
  "subscriptions outside": { name: "poll_oneoff", args: [65_530, 0, 1, 0] },
  "a million subscriptions": { name: "poll_oneoff", args: [0, 0, 1_000_000, 0] },
  "arguments outside": { name: "args_get", args: [-4, 0] },
};

const pointerCases: readonly WasmCase[] = [
  {
    id: "B9",
    title: "a pointer or a length outside of the guest's memory is a trap of the ABI, and nothing is written",
    async attack(attacker) {
      const attacks = Object.entries(pointers).map(([name, call]): [string, Attack] => [name, { module: callingModule([call], wild) }]);
      const ended = await attacker.all(Object.fromEntries(attacks));
      const seen = attacks.map(([name]) => [name, [ended[name]?.code, ended[name]?.result?.stdout]]);
      expect(Object.fromEntries(seen)).toEqual(each(Object.keys(pointers), ["trapped abi", ""]));
    },
  },
  {
    id: "B9",
    title: "buffers that overlap, each other and their own list, stay inside",
    async attack(attacker) {
      // Two buffers of 64 bytes over the list of buffers itself and the place of the result.
      const list = [0, 0, 0, 0, 64, 0, 0, 0, 8, 0, 0, 0, 64, 0, 0, 0];
      const calls: Call[] = [
        { name: "fd_read", args: [0, 0, 2, 4] },
        { name: "fd_write", args: [1, 0, 2, 8] },
      ];
      const { code } = await attacker.run({ module: callingModule(calls, list), input: "\u0001".repeat(40) });
      expect(code).toMatch(/^exited |^trapped abi$/);
    },
  },
];

const digestCases: readonly WasmCase[] = [
  {
    id: "B10",
    title: "bytes that differ from the registered digest never run",
    async attack(attacker) {
      const { target } = attacker;
      const good = emptyCommand({ exports: [`good in ${attacker.profile}`] });
      const other = emptyCommand({ exports: ["other"] });
      const { manifest } = await defineAttack(target.nextName(), good);
      const { digest } = manifest.artifacts.wasm ?? {};
      if (digest === undefined) throw new Error("the manifest has no digest");
      await expect(defineAttack(target.nextName(), other, digest)).rejects.toMatchObject({ code: "ERR_DIGEST_MISMATCH" });
      const lazy = await attacker.run({ module: () => defineAttack(target.nextName(), async () => other, digest) });
      expect(lazy.problem).toMatchObject({ code: "ERR_DIGEST_MISMATCH", started: false });
      expect(await attacker.codeOf({ module: () => defineAttack(target.nextName(), async () => good, digest) })).toBe("exited 0");
    },
  },
  {
    id: "B10",
    title: "tools whose manifests say the same but name no digest each run their own bytes",
    async attack(attacker) {
      const name = attacker.target.nextName();
      for (const code of [0, 7, 9]) {
        const bytes = callingModule([{ name: "proc_exit", args: [code], hasResult: false }]);
        const tool = await defineAttack(name, async () => bytes);
        attacker.target.tools.remove({ name });
        expect(await attacker.codeOf({ module: async () => tool })).toBe(`exited ${code}`);
      }
    },
  },
];

const paths = ["/", "..", "../x", "/etc/passwd", "/proc/self/environ", "tmp/../../etc/passwd", "out/../..", "./..", "//", "tmp/..//../etc"];

function bytesOf(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}

interface Attempt {
  readonly name: string;
  readonly call: Call;
  /** A step on the way to the next one, which may succeed. */
  readonly isStep?: boolean;
}

/** Ways to a path: by itself, and through a link that leads there. Texts go to where `put` says. */
function attemptsAt(path: string, index: number, put: (text: string) => readonly [at: number, length: number]): Attempt[] {
  const link = `out/link${index}`;
  const p = put(path);
  const l = put(link);
  const through = put(`${link}/x`);
  // A link is read from its own folder, so one step more leads out.
  const target = put(path.startsWith("/") ? path : `../${path}`);
  const out = put("out");
  return [
    { name: "open", call: { name: "path_open", args: [3, 1, ...p, 0, 2n, 0n, 0, 0x7000] } },
    { name: "create", call: { name: "path_open", args: [3, 1, ...p, 1, 64n, 0n, 0, 0x7000] } },
    { name: "list", call: { name: "path_open", args: [3, 1, ...p, 2, 0x4000n, 0n, 0, 0x7000] } },
    { name: "stat", call: { name: "path_filestat_get", args: [3, 1, ...p, 0x7000] } },
    { name: "mkdir", call: { name: "path_create_directory", args: [3, ...p] } },
    { name: "rename", call: { name: "path_rename", args: [3, ...out, 3, ...p] } },
    { name: "link", call: { name: "path_symlink", args: [...target, 3, ...l] }, isStep: true },
    { name: "follow", call: { name: "path_open", args: [3, 1, ...l, 0, 2n, 0n, 0, 0x7000] } },
    { name: "walk through", call: { name: "path_open", args: [3, 1, ...through, 0, 2n, 0n, 0, 0x7000] } },
  ];
}

const noDescriptor: readonly Attempt[] = [4, 5, 100, -1].map((fd) => ({
  name: `preopened ${fd}`,
  call: { name: "fd_prestat_get", args: [fd, 0x7000] },
}));

const sockets: readonly Attempt[] = [0, 1, 2, 3, 4].flatMap((fd) => [
  { name: `accept ${fd}`, call: { name: "sock_accept", args: [fd, 0, 0x7000] } },
  { name: `receive ${fd}`, call: { name: "sock_recv", args: [fd, 0, 0, 0, 0x7000, 0x7004] } },
  { name: `send ${fd}`, call: { name: "sock_send", args: [fd, 0, 0, 0, 0x7000] } },
  { name: `shut down ${fd}`, call: { name: "sock_shutdown", args: [fd, 3] } },
]);

const looking: readonly Call[] = [
  { name: "environ_get", args: [512, 1024] },
  { name: "args_get", args: [768, 1536] },
  { name: "fd_write", args: [1, 0, 1, 64] },
];

const hostCases: readonly WasmCase[] = [
  {
    id: "B11",
    title: "nothing is left of an earlier run, one after the other or at once",
    async attack(attacker) {
      for (let count = 0; count < (attacker.hasProcess ? 3 : 30); count++)
        expect(await attacker.codeOf({ module: "leftovers" })).toBe("exited 0");
      const many = Array.from({ length: attacker.hasProcess ? 3 : 30 }, () => attacker.codeOf({ module: "leftovers" }));
      expect(new Set(await Promise.all(many))).toEqual(new Set(["exited 0"]));
    },
  },
  {
    id: "B12",
    title: "nothing of the host is to be opened, listed or made; there is one preopened folder and no socket",
    async attack(attacker) {
      const data: number[] = [];
      const put = (text: string): readonly [number, number] => {
        const bytes = bytesOf(text);
        data.push(...bytes);
        return [data.length - bytes.length, bytes.length];
      };
      const attempts = [
        ...paths.flatMap((path, index) => attemptsAt(path, index, put).map((one) => ({ ...one, name: `${one.name} ${path}` }))),
        ...noDescriptor,
        ...sockets,
      ];
      const module = probingModule(
        attempts.map(({ call }) => call),
        data,
      );
      const { code, result } = await attacker.run({ module });
      const errnos = errnosOf(result?.stdout ?? "");
      expect([code, errnos.length]).toEqual(["exited 0", attempts.length]);
      const succeeded = attempts.filter(({ isStep }, index) => isStep !== true && errnos[index] === 0).map(({ name }) => name);
      expect(succeeded).toEqual([]);
      expect(attempts.flatMap(({ name }, index) => (name.startsWith("preopened") ? [errnos[index]] : []))).toEqual([8, 8, 8, 8]);
    },
  },
  {
    id: "B13",
    title: "environment and arguments are what the task gave",
    async attack(attacker) {
      const module = callingModule(looking, [0, 4, 0, 0, 0, 4, 0, 0]);
      const { result } = await attacker.run({ module, env: { GIVEN: "this" } });
      const parts = (result?.stdout ?? "").split("\0").filter((part) => part !== "");
      expect(parts).toEqual(["GIVEN=this", expect.stringMatching(/^attack-\d+$/)]);
      expect(result?.stdout).not.toContain(canary.name);
    },
  },
];

export const hostCallCases: readonly WasmCase[] = [...pointerCases, ...digestCases, ...hostCases];
