import type { ExecutionEvent } from "../../runtime.ts";
import { check, pause, same, sameBytes } from "../assert.ts";
import { EventLog, outputWithin } from "../bench.ts";
import type { ConformanceCase } from "../case.ts";
import { pattern, steps } from "../probe.ts";

/** The most that a tool may have written while nobody takes it: pipes and the like hold so much and no more. */
const maxHeldBytes = 2 ** 20;

export const eventCases: readonly ConformanceCase[] = [
  {
    id: "events-sequence",
    title: "events begin with the start, count from 0 without a gap, and carry all bytes",
    async run(bench) {
      const events = new EventLog();
      const output = outputWithin(bench.facts.profile, 300_000);
      const [toStdout, toStderr] = [Math.floor((output * 2) / 3), Math.floor(output / 3)];
      await bench.succeed(steps({ do: "fill", bytes: toStdout }, { do: "fill", to: "stderr", bytes: toStderr }), {
        task: { resources: { output } },
        call: { onEvent: events.listener },
      });
      same(
        events.events.map(({ seq }) => seq),
        events.events.map((_, index) => index),
        "the sequence numbers",
      );
      same(events.events.map(({ type }) => type).indexOf("started"), 0, "where the start stands");
      same(events.events.filter(({ type }) => type === "started").length, 1, "how many starts there are");
      check(
        events.events.every((event) => event.type === "started" || event.bytes.length > 0),
        "an event carries no bytes",
      );
      sameBytes(events.bytes("stdout"), pattern(toStdout), "stdout");
      sameBytes(events.bytes("stderr"), pattern(toStderr), "stderr");
    },
  },
  {
    id: "events-order",
    title: "events come in the order in which the tool wrote",
    async run(bench) {
      const events = new EventLog();
      const write = (to: "stdout" | "stderr", text: string) =>
        [
          { do: "write", to, text },
          { do: "sleep", ms: 80 },
        ] as const;
      await bench.succeed(
        steps(...write("stdout", "1"), ...write("stderr", "2"), ...write("stdout", "3"), ...write("stdout", "4"), ...write("stderr", "5")),
        { call: { onEvent: events.listener } },
      );
      const text = events.events.flatMap((event) => (event.type === "started" ? [] : [new TextDecoder().decode(event.bytes)]));
      same(text.join(""), "12345", "what the events carry");
    },
  },
  {
    id: "events-live",
    title: "events come while the tool runs",
    async run(bench) {
      let firstAt = Number.POSITIVE_INFINITY;
      const onEvent = ({ type }: ExecutionEvent): void => {
        if (type === "stdout") firstAt = Math.min(firstAt, performance.now());
      };
      await bench.succeed(steps({ do: "write", text: "early" }, { do: "sleep", ms: 500 }), { call: { onEvent } });
      const before = performance.now() - firstAt;
      check(before >= 300, `the event came ${Math.round(before)} ms before the end of a tool that sleeps 500 ms after it`);
    },
  },
  {
    id: "events-awaited",
    title: "no event comes while the listener has not settled the one before",
    async run(bench) {
      let running = 0;
      let most = 0;
      let seen = 0;
      const onEvent = async (): Promise<void> => {
        most = Math.max(most, ++running);
        if (seen++ < 8) await pause(25);
        running--;
      };
      const output = outputWithin(bench.facts.profile, 400_000);
      const input = steps({ do: "fill", bytes: Math.floor((output * 3) / 4) }, { do: "fill", to: "stderr", bytes: Math.floor(output / 4) });
      await bench.succeed(input, { task: { resources: { output } }, call: { onEvent } });
      same(most, 1, "the most listeners at once");
    },
  },
  {
    id: "events-back-pressure",
    title: "a listener that stops, stops the tool",
    async run(bench) {
      const most = bench.settings.maxHeldBytes ?? maxHeldBytes;
      const bytes = outputWithin(bench.facts.profile, Math.max(8 * 2 ** 20, 2 * most));
      const heldMs = 700;
      let isHeld = false;
      const onEvent = async ({ type }: ExecutionEvent): Promise<void> => {
        if (type !== "stdout" || isHeld) return;
        isHeld = true;
        await pause(heldMs);
      };
      const { stderr } = await bench.succeed(
        { do: "fill", bytes: bytes - 1000, report: heldMs / 2 },
        { options: { resources: { output: bytes } }, call: { onEvent } },
      );
      const report = JSON.parse(stderr) as { before: number; stallMs: number };
      check(report.stallMs > 0, `no write of the tool took ${heldMs / 2} ms, while its reader stopped for ${heldMs} ms`);
      check(report.before <= most, `the tool had written ${report.before} bytes before it was stopped, the most is ${most}`);
    },
  },
  {
    id: "listener-throws",
    title: "a listener that throws ends the run",
    async run(bench) {
      const cause = new Error("the listener's own");
      const onEvent = ({ type }: ExecutionEvent): void => {
        if (type === "stdout") throw cause;
      };
      const error = await bench.ended("ERR_ABORTED", { do: "heartbeat" }, { call: { onEvent } });
      check(error.cause === cause, "the error's cause is not what the listener threw");
    },
  },
  {
    id: "listener-rejects",
    title: "a listener that rejects ends the run",
    async run(bench) {
      const onEvent = async ({ type }: ExecutionEvent): Promise<void> => {
        await pause(5);
        if (type === "stdout") throw new Error("the listener's own");
      };
      await bench.ended("ERR_ABORTED", { do: "heartbeat" }, { call: { onEvent } });
    },
  },
];
