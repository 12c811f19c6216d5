import { expect } from "vitest";
import {
  callingModule,
  emptyCommand,
  functionBody,
  functionType,
  importOf,
  kinds,
  moduleOf,
  nameOf,
  section,
  types,
  vector,
} from "../modules/binary.ts";
import type { Attack, Attacker } from "../wasm-attacker.ts";
import { each, type WasmCase } from "./case.ts";

const aFunction = [kinds.function, 0];
const wasi = "wasi_snapshot_preview1";
const namespaces = [wasi, "wasi_unstable", "env", "", "__proto__", "constructor", "toolruntime:host"];
const ungranted = ["system", "fd_write2", "FD_WRITE", "", "memory", "fd_write\0"];
const inherited = ["__proto__", "constructor", "hasOwnProperty", "toString", "valueOf", "__defineGetter__", "prototype"];
const oddExports = [
  "then", "catch", "finally", "__proto__", "constructor", "toString", "toJSON", "valueOf", "Symbol.toPrimitive", "hasOwnProperty", "",
]; // prettier-ignore
const manyExports = Array.from({ length: 100_000 }, (_, index) => `export${index}`);

/** Imports of functions that nobody granted: each is refused by name. */
async function importAll(attacker: Attacker, names: readonly string[]): Promise<void> {
  const pairs = namespaces.flatMap((namespace) => names.map((name) => ({ namespace, name })));
  const title = (pair: (typeof pairs)[number]) => JSON.stringify(pair);
  const attacks = pairs.map((pair): [string, Attack] => [
    title(pair),
    { module: emptyCommand({ imports: [importOf(pair.namespace, pair.name, aFunction)] }) },
  ]);
  const ended = await attacker.all(Object.fromEntries(attacks));
  const expected = pairs.map((pair) => [
    title(pair),
    { code: "ERR_IMPORT_DENIED", started: false, details: { ...pair, kind: "function" } },
  ]);
  expect(Object.fromEntries(pairs.map((pair) => [title(pair), ended[title(pair)]?.problem]))).toMatchObject(Object.fromEntries(expected));
}

/** Granted names, of another kind or another type than what is granted. */
const mistyped: Readonly<Record<string, Uint8Array>> = {
  "a memory": emptyCommand({ imports: [importOf(wasi, "fd_write", [kinds.memory, 0, 1])] }),
  "a table": emptyCommand({ imports: [importOf(wasi, "fd_write", [kinds.table, 0x70, 0, 1])] }),
  "a global": emptyCommand({ imports: [importOf(wasi, "fd_write", [kinds.global, types.i32, 0])] }),
  "a tag": emptyCommand({ imports: [importOf(wasi, "fd_write", [kinds.tag, 0, 0])] }),
  "another function": emptyCommand({ imports: [importOf(wasi, "fd_write", aFunction)] }),
  "a wider parameter": callingModule([{ name: "fd_write", args: [1n, 0, 0, 0] }]),
  "a parameter less": callingModule([{ name: "fd_write", args: [1, 0, 0] }]),
  "a parameter more": callingModule([{ name: "fd_write", args: [1, 0, 0, 0, 0] }]),
  "a narrower parameter": callingModule([{ name: "fd_seek", args: [1, 0, 0, 0] }]),
};

/** Names that are no UTF-8. */
const noText = [[0xff], [0xed, 0xa0, 0x80], [0xc0, 0x80]];

function entryOf(type: readonly number[]): Uint8Array {
  return moduleOf(
    section(1, vector([type])),
    section(3, vector([[0]])),
    section(5, vector([[0, 1]])),
    section(7, vector([[...nameOf("_start"), kinds.function, 0], [...nameOf("memory"), kinds.memory, 0]])), // oxfmt-ignore
    section(10, vector([functionBody(0x00)])),
  );
}

const entries: Readonly<Record<string, Uint8Array>> = {
  "takes an i64": entryOf(functionType([types.i64])),
  "takes an i32": entryOf(functionType([types.i32])),
  "gives an i32": entryOf(functionType([], [types.i32])),
  "is the host's own": moduleOf(
    section(1, vector([functionType([types.i32])])),
    importOf(wasi, "proc_exit", aFunction),
    section(5, vector([[0, 1]])),
    section(7, vector([[...nameOf("_start"), kinds.function, 0], [...nameOf("memory"), kinds.memory, 0]])), // oxfmt-ignore
  ),
};

function modulesOf(bytes: Readonly<Record<string, Uint8Array>>): Record<string, Attack> {
  return Object.fromEntries(Object.entries(bytes).map(([name, module]) => [name, { module }]));
}

/** Made before the cases, so that the making does not hold up the victims. */
const hundredThousand = emptyCommand({ exports: manyExports });

export const nameCases: readonly WasmCase[] = [
  {
    id: "B6",
    title: "a function that nobody granted is refused by name",
    attack: (attacker) => importAll(attacker, ungranted),
  },
  {
    id: "B6",
    title: "a granted name of another kind or another type is refused",
    async attack(attacker) {
      expect(await attacker.codesOf(modulesOf(mistyped))).toEqual(each(Object.keys(mistyped), "ERR_IMPORT_DENIED"));
    },
  },
  {
    id: "B7",
    title: "__proto__ and its kin are refused from any namespace",
    attack: (attacker) => importAll(attacker, inherited),
  },
  {
    id: "B7",
    title: "names that are no UTF-8 are refused",
    async attack(attacker) {
      const modules = noText.flatMap((name, index) => [
        [`import ${index}`, emptyCommand({ imports: [importOf("env", name, aFunction)] })] as const,
        [`export ${index}`, emptyCommand({ exports: [name] })] as const,
      ]);
      const names = modules.map(([name]) => name);
      expect(await attacker.codesOf(modulesOf(Object.fromEntries(modules)))).toEqual(each(names, "ERR_ARTIFACT_INVALID"));
    },
  },
  {
    id: "B8",
    title: "exports named then, __proto__ and constructor are never awaited or touched",
    async attack(attacker) {
      expect(await attacker.codeOf({ module: emptyCommand({ exports: oddExports }) })).toBe("exited 0");
    },
  },
  {
    id: "B8",
    title: "a hundred thousand exports are refused, one in the name of the host's, and an entry that takes or gives something",
    async attack(attacker) {
      expect(await attacker.codeOf({ module: hundredThousand })).toBe("ERR_LIMIT_COMPILE");
      expect(await attacker.codeOf({ module: emptyCommand({ exports: ["toolruntime:start"] }) })).toBe("ERR_ARTIFACT_INVALID");
      expect(await attacker.codesOf(modulesOf(entries))).toEqual(each(Object.keys(entries), "ERR_ARTIFACT_INVALID"));
    },
  },
];
