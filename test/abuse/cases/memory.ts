import { expect } from "vitest";
import { emptyCommand, functionBody, functionType, kinds, moduleOf, nameOf, section, types, vector } from "../modules/binary.ts";
import { receiptOf } from "../wasm-attacker.ts";
import { each, MiB, type WasmCase } from "./case.ts";

const pageBytes = 65_536;
/** What a service may grow by while a guest touches 64 MiB: they are the guest's where it is in this process. */
const besidesBytes = 48 * MiB;

/** A command with other sections than usual. */
function commandWith(parts: {
  readonly types?: readonly (readonly number[])[];
  readonly memory?: readonly number[];
  readonly table?: number[];
}) {
  return moduleOf(
    section(1, vector([functionType([]), ...(parts.types ?? [])])),
    section(3, vector([[0]])),
    ...(parts.table === undefined ? [] : [section(4, parts.table)]),
    section(5, parts.memory ?? vector([[0, 1]])),
    section(7, vector([[...nameOf("memory"), kinds.memory, 0], [...nameOf("_start"), kinds.function, 0]])), // oxfmt-ignore
    section(10, vector([functionBody()])),
  );
}

const refusedMemories: Readonly<Record<string, Uint8Array>> = {
  "several memories": commandWith({ memory: vector([[0, 1], [0, 1]]) }), // oxfmt-ignore
  "a 64-bit memory": commandWith({ memory: vector([[4, 1]]) }),
  "a shared memory": commandWith({ memory: vector([[3, 1, 2]]) }),
  "a shared 64-bit memory": commandWith({ memory: vector([[7, 1, 2]]) }),
  "a custom page size": commandWith({ memory: vector([[8, 1, 0]]) }),
};

/** What lives on the engine's heap, which no limit bounds. */
const unboundedHeap: Readonly<Record<string, Uint8Array>> = {
  "an array type": commandWith({ types: [[0x5e, types.i32, 1]] }),
  "a struct type": commandWith({ types: [[0x5f, 1, types.i64, 1]] }),
  "a recursive group": commandWith({ types: [[0x4e, 1, 0x5f, 0]] }),
  "a function over a garbage-collected reference": commandWith({ types: [functionType([0x6e])] }),
  "a table of exceptions": commandWith({ table: vector([[0x69, 0, 1]]) }),
};

/** Larger than the largest artifact. Made when it is asked for, and given out again. */
let hugeModule: Uint8Array | undefined;
function huge(): Uint8Array {
  hugeModule ??= Buffer.concat([emptyCommand(), Buffer.alloc(200_000_000)]);
  return hugeModule;
}

export const memoryCases: readonly WasmCase[] = [
  {
    id: "B1",
    title: "memory.grow and table.grow until they fail end at their caps",
    async attack(attacker) {
      for (const pages of [1, 2, 100, 1024]) {
        const ended = await attacker.run({ module: "grow-memory", resources: { memory: pages * pageBytes } });
        expect(ended.code).toBe(`exited ${pages}`);
        expect(receiptOf(ended, "memory")).toMatchObject({ applied: pages * pageBytes, peak: pages * pageBytes, hit: "yes" });
      }
      expect(await attacker.codeOf({ module: "grow-memory", resources: { memory: 4 * pageBytes - 1 } })).toBe("exited 3");
      expect(await attacker.codeOf({ module: "grow-tables" })).toBe("exited 200000");
    },
  },
  {
    id: "B2",
    title: "grows and touches every page: ends at the cap, and the service's own memory stays as it is",
    async attack(attacker) {
      const before = process.memoryUsage().rss;
      const ended = await attacker.run({ module: "touch-memory", resources: { memory: "64Mi" } });
      expect(ended.code).toMatch(/^exited 10\d\d$/);
      expect(receiptOf(ended, "memory").peak).toBeLessThanOrEqual(64 * MiB);
      const own = attacker.hasProcess ? 0 : 64 * MiB;
      expect(process.memoryUsage().rss - before).toBeLessThan(own + besidesBytes);
    },
  },
  {
    id: "B3",
    title: "several memories, 64-bit ones, and whatever lives where no limit holds are refused",
    async attack(attacker) {
      const all = { ...refusedMemories, ...unboundedHeap };
      for (const module of Object.values(unboundedHeap)) expect(WebAssembly.validate(Uint8Array.from(module))).toBe(true);
      const attacks = Object.fromEntries(Object.entries(all).map(([name, module]) => [name, { module }]));
      const ended = await attacker.all(attacks);
      expect(Object.fromEntries(Object.keys(all).map((name) => [name, ended[name]?.problem]))).toMatchObject(
        each(Object.keys(all), { code: "ERR_ARTIFACT_INVALID", started: false }),
      );
    },
  },
  {
    id: "B3",
    title: "four gibibytes from the beginning are over the limit",
    async attack(attacker) {
      const module = commandWith({ memory: vector([[0, 0x80, 0x80, 4]]) });
      expect(WebAssembly.validate(module)).toBe(true);
      const { problem } = await attacker.run({ module });
      expect(problem).toMatchObject({ code: "ERR_LIMIT_MEMORY", started: false });
    },
  },
  {
    id: "B5",
    title: "a module of 200 MB is refused",
    async attack(attacker) {
      const { problem } = await attacker.run({ module: huge() });
      expect(problem).toMatchObject({ code: "ERR_ARTIFACT_TOO_LARGE", status: 413, started: false });
    },
  },
];
