import { check, same } from "../assert.ts";
import { takes, type ConformanceCase } from "../case.ts";
import { steps } from "../probe.ts";

const resultKeys = [
  "backend", "duration", "exit", "exitCode", "files", "id", "limits", "output", "replaced", "stderr", "stdout", "truncated",
]; // prettier-ignore

export const resultCases: readonly ConformanceCase[] = [
  {
    id: "result-shape",
    title: "a result has all its fields and no others, of the right types",
    async run(bench) {
      const runtime = await bench.open();
      const result = await bench.run({ do: "echo" }, { runtime });
      const { capability, profile } = bench.facts;
      for (const key of resultKeys) check(key in result, `the result has no "${key}"`);
      const extra = Object.keys(result).filter((key) => !resultKeys.includes(key) && key !== "toolCalls");
      same(extra, [], "the fields that a result does not have");
      same(result.exit, { kind: "exited", code: 0 }, "exit");
      check(Number.isFinite(result.duration) && result.duration >= 0, `duration is ${result.duration}`);
      same(result.truncated, { stdout: false, stderr: false }, "truncated");
      same(result.replaced, { stdout: false, stderr: false }, "replaced");
      same(result.files, [], "files");
      const { artifact, isolation, network } = capability;
      const { name, version, via, ...rest } = result.backend;
      same(rest, { artifact, isolation, network, profile }, "backend");
      const probes = await runtime.probe();
      // A run that was sent on says what ran it there; the probe here is of who sent it.
      const named = probes.find(({ backend }) => via !== undefined || backend === name);
      check(named !== undefined, `the result names the backend "${name}", which the probe does not`);
      if (via === undefined) same(version, named.version, "the backend's version");
      same(JSON.parse(JSON.stringify(result)), result, "the result as JSON");
    },
  },
  {
    id: "result-duration",
    title: "the duration is the tool's own time",
    async run(bench) {
      const { duration } = await bench.succeed({ do: "sleep", ms: 300 });
      const least = 290 - (bench.settings.eventDelayMs ?? 0);
      check(duration >= least && duration < 5000, `the duration of a tool that sleeps 300 ms is ${duration} ms`);
    },
  },
  {
    id: "exit-code",
    title: "every exit code is a result and comes as it is",
    async run(bench) {
      const runtime = await bench.open();
      for (const code of [0, 1, 3, 125, 255]) {
        const { exitCode, exit } = await bench.run({ do: "exit", code }, { runtime });
        same(exitCode, code, "exitCode");
        same(exit, { kind: "exited", code }, "exit");
      }
    },
  },
  {
    id: "exit-failure-keeps-streams",
    title: "a tool that fails keeps what it wrote, and has no output",
    async run(bench) {
      const result = await bench.run(
        steps({ do: "write", text: "half" }, { do: "write", to: "stderr", text: "why" }, { do: "exit", code: 9 }),
      );
      same(
        [result.exitCode, result.stdout, result.stderr, result.output],
        [9, "half", "why", null],
        "exit code, stdout, stderr and output",
      );
    },
  },
  {
    id: "exit-trap",
    title: "a tool that crashes is a result with exit code 134",
    async run(bench) {
      const { exitCode, exit, stdout } = await bench.run(steps({ do: "write", text: "before" }, { do: "trap" }));
      same([exitCode, stdout], [134, "before"], "exit code and stdout");
      if (bench.facts.capability.artifact === "wasm") check(exit.kind === "trapped" && exit.trap !== "", `exit is ${JSON.stringify(exit)}`);
      else same(exit, { kind: "signalled", signal: "SIGABRT", number: 6 }, "exit");
    },
  },
  {
    id: "exit-signal",
    title: "a tool that a signal ends is a result with exit code 128 and the signal's number",
    requires: takes("command"),
    async run(bench) {
      const runtime = await bench.open();
      for (const [name, number] of [
        ["SIGTERM", 15],
        ["SIGKILL", 9],
      ] as const) {
        const { exitCode, exit } = await bench.run({ do: "signal", name }, { runtime });
        same(exit, { kind: "signalled", signal: name, number }, "exit");
        same(exitCode, 128 + number, "exitCode");
      }
    },
  },
];
