import { same, sameBytes } from "../assert.ts";
import { EventLog, outputWithin } from "../bench.ts";
import type { ConformanceCase } from "../case.ts";
import type { ProbeAction } from "../probe.ts";

const encoder = new TextEncoder();

export const stdinCases: readonly ConformanceCase[] = [
  {
    id: "stdin-exact",
    title: "the input's JSON text arrives on stdin byte for byte",
    async run(bench) {
      const text = 'plain \u0000\u0001\t\r\n"\\/ \u007f é ж 漢 🙂 \u2028\u2029 \ufeff \ud800 end';
      const input: ProbeAction = { do: "echo", text };
      const events = new EventLog();
      const { stdout } = await bench.succeed(input, { call: { onEvent: events.listener } });
      same(stdout, JSON.stringify(input), "stdout");
      sameBytes(events.bytes("stdout"), encoder.encode(JSON.stringify(input)), "what the events carry");
    },
  },
  {
    id: "stdin-default",
    title: "a task without input gives the tool {}",
    async run(bench) {
      same((await bench.succeed(undefined)).stdout, "{}", "stdout");
    },
  },
  {
    id: "stdin-large",
    title: "an input of a MiB arrives whole",
    async run(bench) {
      const size = outputWithin(bench.facts.profile, 2 ** 20);
      const input: ProbeAction = { do: "echo", text: "0123456789abcdé".repeat(Math.floor(size / 16) - 2) };
      const text = JSON.stringify(input);
      const { stdout } = await bench.succeed(input, { options: { captureBytes: size, resources: { output: size } } });
      sameBytes(encoder.encode(stdout), encoder.encode(text), "stdout");
    },
  },
  {
    id: "stdin-unread",
    title: "a tool that ends without reading its input is no failure",
    async run(bench) {
      const { exit } = await bench.run({ do: "deaf", text: "x".repeat(4 * 2 ** 20) });
      same(exit, { kind: "exited", code: 0 }, "exit");
    },
  },
];
