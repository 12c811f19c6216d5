import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { mutator } from "../modules/mutate.ts";
import type { Attack } from "../wasm-attacker.ts";
import type { WasmCase } from "./case.ts";

const seeds = ["modules/leftovers.wasm", "modules/catch-loop.wasm", "modules/regular-expression.wasm", "modules/tail-loop-table.wasm"];
const refusals = /^ERR_(?:ARTIFACT_INVALID|ARTIFACT_UNSUPPORTED|IMPORT_DENIED|LIMIT_COMPILE|LIMIT_MEMORY)$/;
const endings = /^(?:exited|trapped) |^ERR_LIMIT_(?:TIMEOUT|OUTPUT|MEMORY|DISK)$/;

const heads: Readonly<Record<string, readonly number[]>> = {
  nothing: [],
  "one byte": [0],
  "a magic alone": [0, 0x61, 0x73, 0x6d],
  "another version": [0, 0x61, 0x73, 0x6d, 2, 0, 0, 0],
  "an empty component": [0, 0x61, 0x73, 0x6d, 13, 0, 1, 0],
  "a native program": [0x7f, 0x45, 0x4c, 0x46],
  "a script": [...new TextEncoder().encode("#!/bin/sh\n")],
  "a thousand zeros": Array.from({ length: 1000 }, () => 0),
};

export const malformedCases: readonly WasmCase[] = [
  {
    id: "B4",
    title: "bytes that are no module are refused",
    async attack(attacker) {
      const attacks = Object.entries(heads).map(([name, bytes]): [string, Attack] => [name, { module: Uint8Array.from(bytes) }]);
      const codes = await attacker.codesOf(Object.fromEntries(attacks));
      expect(Object.entries(codes).filter(([, code]) => !/^ERR_ARTIFACT_(?:INVALID|UNSUPPORTED)$/.test(code))).toEqual([]);
    },
  },
  {
    // Ten thousand of them are in wasm-mutations.test.ts, without a service around them.
    id: "B4",
    title: "mutations of good modules: each is refused with a code or runs, and nothing crashes",
    async attack(attacker) {
      const mutate = mutator(7);
      const good = seeds.map((name) => new Uint8Array(readFileSync(new URL(`../${name}`, import.meta.url))));
      const mutants = Array.from({ length: attacker.hasProcess ? 24 : 200 }, (_, index) =>
        mutate(good[index % good.length] ?? Uint8Array.of()),
      );
      // What is still a good module may run for ever.
      const resources = { timeout: 30 };
      const attacks = mutants.map((module, index): [string, Attack] => [`mutant ${index}`, { module, resources }]);
      const codes = Object.values(await attacker.codesOf(Object.fromEntries(attacks)));
      expect(codes.filter((code) => !refusals.test(code) && !endings.test(code))).toEqual([]);
      expect(codes.filter((code) => refusals.test(code)).length).toBeGreaterThan(codes.length / 4);
    },
  },
];
