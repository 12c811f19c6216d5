import { expect } from "vitest";
import { receiptOf } from "../wasm-attacker.ts";
import { MiB, type WasmCase } from "./case.ts";

/** Some of them write a byte at a time, each of which a process has to hand over. */
const bytes = 4096;
const floods = [
  ["flood-stdout", "stdout"],
  ["flood-stderr", "stderr"],
  ["flood-start", "stdout"],
] as const;

export const outputCases: readonly WasmCase[] = [
  {
    id: "C1",
    title: "endless output ends at its limit, with what came first",
    async attack(attacker) {
      for (const [module, stream] of floods) {
        const ended = await attacker.run({ module, resources: { output: bytes } });
        expect(ended.problem).toMatchObject({ code: "ERR_LIMIT_OUTPUT", started: true, details: { limit: "output", value: bytes } });
        expect(ended.problem?.partial?.[stream]).toMatch(/^(x{4096}|e{4096})$/);
        expect(ended.problem?.partial?.truncated[stream]).toBe(true);
        expect(receiptOf(ended, "output")).toMatchObject({ applied: bytes, hit: "yes" });
      }
    },
  },
  {
    id: "C1",
    title: "a file with two hundred names is not handed out two hundred times",
    async attack(attacker) {
      const before = process.memoryUsage().rss;
      // Of the memory that a run may have, half may be files: room for one of 64 MiB.
      const resources = { memory: "256Mi", disk: "128Mi" };
      expect(await attacker.codeOf({ module: "hard-links", resources })).toBe("ERR_LIMIT_DISK");
      expect(process.memoryUsage().rss - before).toBeLessThan(700 * MiB);
    },
  },
];
