import { same } from "../assert.ts";
import type { ConformanceCase } from "../case.ts";
import { steps } from "../probe.ts";
import { abortAfterStart } from "./abort.ts";

/** What `litter` fills memory with, xored with 0x5a. */
const litter = "1f3c2b0a77665544332211009988aabb";

export const isolationCases: readonly ConformanceCase[] = [
  {
    id: "fresh-files",
    title: "a run finds no file of an earlier one",
    async run(bench) {
      const runtime = await bench.open();
      const save = ["out/a", "tmp/b", "out/deep/c", "loose"].map((path) => ({ do: "save", path, text: "left" }) as const);
      await bench.succeed(steps(...save), { runtime, task: { files: { given: "1" } } });
      const { stdout, files } = await bench.succeed({ do: "list" }, { runtime });
      same(JSON.parse(stdout), [], "the files that the second run sees");
      same(files, [], "the files that the second run hands back");
    },
  },
  {
    id: "fresh-env",
    title: "a run sees no variable of an earlier one",
    async run(bench) {
      const runtime = await bench.open();
      await bench.succeed({ do: "env" }, { runtime, task: { env: { EARLIER: "1" } } });
      const { stdout } = await bench.succeed({ do: "env" }, { runtime });
      same("EARLIER" in (JSON.parse(stdout) as object), false, "whether the earlier variable is there");
    },
  },
  {
    id: "fresh-memory",
    title: "a run finds nothing in memory that an earlier one has left",
    async run(bench) {
      const runtime = await bench.open();
      for (let round = 0; round < 2; round++) {
        const first = await bench.succeed({ do: "litter", hex: litter }, { runtime });
        same(JSON.parse(first.stdout), { runs: 1 }, "how many runs the instance has seen");
        const { stdout } = await bench.succeed({ do: "scan", hex: litter }, { runtime });
        same(JSON.parse(stdout), { found: 0, runs: 1 }, "what the next run finds");
      }
    },
  },
  {
    id: "fresh-after-failure",
    title: "a run after a crash, a failure and an abort is as good as the first",
    async run(bench) {
      const runtime = await bench.open();
      await bench.run(steps({ do: "litter", hex: litter }, { do: "save", path: "tmp/x" }, { do: "trap" }), { runtime });
      await bench.run({ do: "exit", code: 1 }, { runtime });
      await abortAfterStart(bench, { do: "sleep", ms: 60_000 }, runtime);
      const { stdout } = await bench.succeed(steps({ do: "scan", hex: litter }, { do: "list" }), { runtime });
      same(stdout, '{"found":0,"runs":1}[]', "stdout");
    },
  },
];
