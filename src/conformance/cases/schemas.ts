import { check, same } from "../assert.ts";
import type { ConformanceCase } from "../case.ts";
import { steps } from "../probe.ts";

const outputSchema = { type: "object", required: ["x"], properties: { x: { type: "integer" } }, additionalProperties: false };

/** A tool's answers that do not fit its schema, by the case's id. */
const badOutputs: readonly { readonly id: string; readonly title: string; readonly text: string }[] = [
  { id: "output-mismatch", title: "output that does not fit the schema", text: '{"x":"one"}' },
  { id: "output-not-json", title: "output that is no JSON", text: "{x:1}" },
  { id: "output-empty", title: "no output", text: "" },
  { id: "output-trailing", title: "text after the JSON", text: '{"x":1} and more' },
  { id: "output-deep", title: "output of 20,000 nested levels", text: `${"[".repeat(20_000)}${"]".repeat(20_000)}` },
  { id: "output-infinite", title: "a number beyond the finite", text: '{"x":1e999}' },
  { id: "output-duplicate-key", title: "a key that stands twice", text: '{"x":1,"x":2}' },
];

const refusedOutputs = badOutputs.map(({ id, title, text }): ConformanceCase => ({
  id,
  title: `${title} is ERR_OUTPUT_INVALID, with what the tool wrote`,
  async run(bench) {
    const error = await bench.ended("ERR_OUTPUT_INVALID", { do: "write", text }, { manifest: { outputSchema } });
    same(error.partial?.stdout, text, "stdout in partial");
    check((error.partial?.limits.length ?? 0) > 0, "the error has no receipts");
  },
}));

export const schemaCases: readonly ConformanceCase[] = [
  {
    id: "output-json",
    title: "output that fits the schema comes as a value",
    async run(bench) {
      const { output, stdout } = await bench.succeed({ do: "write", text: ' {"x": 1}\n' }, { manifest: { outputSchema } });
      same(output, { x: 1 }, "output");
      same(stdout, ' {"x": 1}\n', "stdout");
    },
  },
  {
    id: "output-text",
    title: "without an output schema output is text, even where it looks like JSON",
    async run(bench) {
      same((await bench.succeed({ do: "write", text: '{"x":1}' })).output, '{"x":1}', "output");
    },
  },
  {
    id: "output-of-failure",
    title: "the schema is not held against a tool that failed",
    async run(bench) {
      const input = steps({ do: "write", text: "no JSON" }, { do: "exit", code: 2 });
      const { output, exitCode } = await bench.run(input, { manifest: { outputSchema } });
      same([output, exitCode], [null, 2], "output and exit code");
    },
  },
  {
    id: "output-beyond-capture",
    title: "JSON output larger than the capture size is read whole",
    async run(bench) {
      const text = JSON.stringify({ x: 1, pad: "é".repeat(2000) });
      const { output, truncated } = await bench.succeed(
        { do: "write", text },
        { manifest: { outputSchema: { type: "object" } }, options: { captureBytes: 100 } },
      );
      same(output, JSON.parse(text), "output");
      same(truncated.stdout, true, "truncated");
    },
  },
  ...refusedOutputs,
  {
    id: "input-refused",
    title: "input that does not fit the schema is refused before anything starts",
    async run(bench) {
      const inputSchema = { type: "object", required: ["do", "text"], properties: { text: { type: "string" } } };
      await bench.refuse("ERR_INPUT_INVALID", { do: "echo" }, { manifest: { inputSchema } });
      await bench.refuse("ERR_INPUT_INVALID", undefined, { manifest: { inputSchema } });
    },
  },
  {
    id: "input-deep",
    title: "input nested deeper than readers bear is refused",
    async run(bench) {
      let nested: unknown = 1;
      for (let level = 0; level < 5000; level++) nested = [nested];
      await bench.refuse("ERR_INPUT_INVALID", undefined, { task: { input: { nested } } });
    },
  },
  {
    id: "input-prototype-keys",
    title: "__proto__ in an input is data in dev and refused elsewhere, and changes nothing in the host",
    async run(bench) {
      const input: unknown = JSON.parse('{"do":"echo","__proto__":{"polluted":1}}');
      if (bench.facts.profile === "dev") {
        const { stdout } = await bench.succeed(undefined, { task: { input } });
        same(stdout, '{"do":"echo","__proto__":{"polluted":1}}', "stdout");
      } else {
        await bench.refuse("ERR_INPUT_INVALID", undefined, { task: { input } });
      }
      check(!("polluted" in {}), "the host's objects have the input's key");
    },
  },
  {
    id: "input-too-large",
    title: "input and files over the most that the runtime takes are refused",
    async run(bench) {
      const options = { maxInputBytes: 1000 };
      await bench.refuse("ERR_INPUT_TOO_LARGE", { do: "echo", text: "x".repeat(1000) }, { options });
      await bench.refuse(
        "ERR_INPUT_TOO_LARGE",
        { do: "echo" },
        { options, task: { files: { a: new Uint8Array(500), b: new Uint8Array(500) } } },
      );
      await bench.succeed({ do: "echo" }, { options, task: { files: { a: new Uint8Array(900) } } });
    },
  },
];
