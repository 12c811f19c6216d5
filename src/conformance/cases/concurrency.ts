import { check, fail, pause, same } from "../assert.ts";
import type { ConformanceCase } from "../case.ts";
import { steps } from "../probe.ts";

export const concurrencyCases: readonly ConformanceCase[] = [
  {
    id: "concurrent-runs",
    title: "twenty runs at once keep their inputs, streams, environments and files apart",
    async run(bench) {
      const runtime = await bench.open();
      const tool = await bench.tool();
      const runs = Array.from({ length: 20 }, async (_, index) => {
        const name = `run-${index}`;
        const actions = [
          { do: "write", text: `${name} ` },
          { do: "sleep", ms: 50 },
          { do: "write", to: "stderr", text: name.repeat(100) },
          { do: "read", path: "mine" },
          { do: "save", path: `out/${name}`, text: name },
          { do: "env" },
        ] as const;
        const { stdout, stderr, files } = await bench.succeed(steps(...actions), {
          runtime,
          tool,
          task: { files: { mine: `${name}.` }, env: { MINE: name } },
        });
        check(stdout.startsWith(`${name} ${name}.{"ok":true}{`), `stdout of ${name} is ${JSON.stringify(stdout)}`);
        check(stdout.includes(`"MINE":"${name}"`), `the environment of ${name} is not its own`);
        same(stderr, name.repeat(100), `stderr of ${name}`);
        same(
          files.map(({ path, size }) => [path, size]),
          [[name, name.length]],
          `the files of ${name}`,
        );
        const [file = fail("there is no file")] = files;
        same(new TextDecoder().decode(await bench.blobs.get(file.digest)), name, `the file of ${name}`);
      });
      await Promise.all(runs);
    },
  },
  {
    id: "concurrency-bounded",
    title: "with one place and a queue of one, the third run is refused and the second waits",
    async run(bench) {
      const runtime = await bench.open({ concurrency: { running: 1, queued: 1 } });
      const tool = await bench.tool();
      const order: string[] = [];
      const runs: Promise<unknown>[] = [];
      const start = (name: string): Promise<void> => {
        const started = Promise.withResolvers<void>();
        const onEvent = ({ type }: { readonly type: string }): void => {
          if (type === "started") order.push(`${name} starts`);
          if (type === "started") started.resolve();
          else order.push(`${name} writes`);
        };
        const input = steps({ do: "sleep", ms: 400 }, { do: "write", text: name });
        const run = bench.succeed(input, { runtime, tool, call: { onEvent } });
        runs.push(run);
        return Promise.race([started.promise, run.then(() => undefined)]);
      };
      await start("first");
      const second = start("second");
      // The time that the second run may take to get into the queue.
      await pause(100);
      await Promise.all([bench.refuse("ERR_QUEUE_FULL", { do: "echo" }, { runtime, tool }), second, ...runs]);
      await Promise.all(runs);
      same(order, ["first starts", "first writes", "second starts", "second writes"], "what happens in which order");
    },
  },
];
