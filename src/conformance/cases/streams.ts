import { check, same, sameBytes } from "../assert.ts";
import { EventLog, outputWithin } from "../bench.ts";
import type { ConformanceCase } from "../case.ts";
import { pattern, steps } from "../probe.ts";

const decoder = new TextDecoder();

export const streamCases: readonly ConformanceCase[] = [
  {
    id: "streams-separate",
    title: "stdout and stderr come apart",
    async run(bench) {
      const { stdout, stderr } = await bench.succeed(
        steps(
          { do: "write", text: "out-1 " },
          { do: "write", to: "stderr", text: "err-1 " },
          { do: "write", text: "out-2" },
          { do: "write", to: "stderr", text: "err-2" },
        ),
      );
      same([stdout, stderr], ["out-1 out-2", "err-1 err-2"], "stdout and stderr");
    },
  },
  {
    id: "streams-empty",
    title: "a tool that writes nothing has empty streams",
    async run(bench) {
      const { stdout, stderr, output } = await bench.succeed({ do: "sleep", ms: 0 });
      same([stdout, stderr, output], ["", "", ""], "stdout, stderr and output");
    },
  },
  {
    id: "streams-no-final-newline",
    title: "line ends are left as they are",
    async run(bench) {
      const text = "\n a\r\nb\n\n c ";
      const { stdout, stderr } = await bench.succeed(steps({ do: "write", text }, { do: "write", to: "stderr", text }));
      same([stdout, stderr], [text, text], "stdout and stderr");
    },
  },
  {
    id: "streams-large",
    title: "large outputs on both streams come whole and in order",
    async run(bench) {
      const bytes = outputWithin(bench.facts.profile, 6 * 2 ** 20) / 2;
      const events = new EventLog();
      const { stdout, stderr } = await bench.succeed(
        steps({ do: "fill", bytes, chunk: 50_000 }, { do: "fill", to: "stderr", bytes, chunk: 50_000 }),
        { options: { captureBytes: bytes, resources: { output: bytes * 2 } }, call: { onEvent: events.listener } },
      );
      const expected = pattern(bytes);
      sameBytes(events.bytes("stdout"), expected, "stdout in the events");
      sameBytes(events.bytes("stderr"), expected, "stderr in the events");
      const text = decoder.decode(expected);
      check(
        stdout === text && stderr === text,
        `stdout has ${stdout.length} and stderr ${stderr.length} characters, expected ${text.length}`,
      );
    },
  },
  {
    id: "streams-many-small-writes",
    title: "thousands of small writes come whole and in order",
    async run(bench) {
      const { stdout } = await bench.succeed({ do: "fill", bytes: 14_000, chunk: 7 });
      same(stdout, decoder.decode(pattern(14_000)), "stdout");
    },
  },
  {
    id: "streams-invalid-utf8",
    title: "bytes that are no UTF-8 are replaced and flagged in the result, and exact in the events",
    async run(bench) {
      const events = new EventLog();
      const { stdout, stderr, replaced } = await bench.succeed(
        steps({ do: "write", hex: "66ff00c3" }, { do: "write", to: "stderr", text: "whole \ufffd" }),
        { call: { onEvent: events.listener } },
      );
      same([stdout, stderr], ["f\ufffd\u0000\ufffd", "whole \ufffd"], "stdout and stderr");
      same(replaced, { stdout: true, stderr: false }, "replaced");
      sameBytes(events.bytes("stdout"), Uint8Array.of(0x66, 0xff, 0x00, 0xc3), "stdout in the events");
    },
  },
  {
    id: "streams-split-character",
    title: "a character that comes in two writes is one character",
    async run(bench) {
      const { stdout, replaced } = await bench.succeed(
        steps({ do: "write", hex: "e2" }, { do: "sleep", ms: 60 }, { do: "write", hex: "82ac" }),
      );
      same([stdout, replaced.stdout], ["€", false], "stdout and replaced");
    },
  },
  {
    id: "capture-truncates",
    title: "what is beyond the capture size is cut from the result's text, said so, and still is output",
    async run(bench) {
      const whole = decoder.decode(pattern(5000));
      const { stdout, stderr, truncated, output } = await bench.succeed(
        steps({ do: "fill", bytes: 5000 }, { do: "fill", to: "stderr", bytes: 900 }),
        { options: { captureBytes: 1000 } },
      );
      same([stdout, stderr], [whole.slice(0, 1000), whole.slice(0, 900)], "stdout and stderr");
      same(truncated, { stdout: true, stderr: false }, "truncated");
      same(output, whole, "output");
    },
  },
  {
    id: "capture-truncates-stderr",
    title: "stderr is cut at the capture size too, and exactly that many bytes are not cut",
    async run(bench) {
      const { stdout, stderr, truncated } = await bench.succeed(
        steps({ do: "fill", bytes: 1000 }, { do: "fill", to: "stderr", bytes: 1001 }),
        { options: { captureBytes: 1000 } },
      );
      same([stdout.length, stderr.length], [1000, 1000], "the characters of stdout and stderr");
      same(truncated, { stdout: false, stderr: true }, "truncated");
    },
  },
];
