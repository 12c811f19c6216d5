import { check, same, show } from "../../assert.ts";
import type { AbuseBench } from "../bench.ts";
import type { AbuseCase } from "../case.ts";
import { endedByLimit, failedByItself, ranWell, receipt, refused } from "../outcomes.ts";

const outputBytes = 64 * 1024;

async function floodOutput(bench: AbuseBench): Promise<void> {
  for (const kind of ["stdout", "stderr", "bytes"]) {
    const ended = await bench.attack("flood.mjs", { args: [kind], resources: { output: outputBytes, timeout: 20_000 } });
    endedByLimit(ended, "output");
    const { partial } = ended.error ?? {};
    const stream = kind === "stderr" ? "stderr" : "stdout";
    check(
      partial?.[stream].startsWith("first") === true,
      `what came first on ${stream} was not kept: ${show(partial?.[stream].slice(0, 20))}`,
    );
    check(partial.truncated[stream], `${stream} is not marked as truncated`);
    const kept = partial.stdout.length + partial.stderr.length;
    check(kept <= outputBytes, `${kept} characters were kept of a limit of ${outputBytes}`);
    check((receipt(ended, "output").peak ?? 0) > outputBytes, "the receipt does not say that there was more than the limit");
  }
}

/** The bytes that `odd-bytes.mjs` writes. */
const oddBytes = [0x61, 0x00, 0xff, 0xfe, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf0, 0x9f, 0x98, 0x80, 0xe2, 0x82, 0x0a];

async function oddOutput(bench: AbuseBench): Promise<void> {
  const ended = await bench.attack("odd-bytes.mjs");
  const result = ranWell(ended);
  same([...ended.stdout], oddBytes, "stdout, as the events carry it");
  check(result.replaced.stdout, "replaced is not set");
  check(result.stdout.startsWith("a\u0000\ufffd") && result.stdout.includes("😀"), `stdout reads ${show(result.stdout)}`);
  check(result.stdout.isWellFormed(), "stdout has lone surrogates");
  same(JSON.parse(JSON.stringify(result)).stdout, result.stdout, "stdout after JSON");
}

async function oddJson(bench: AbuseBench): Promise<void> {
  for (const kind of ["nested", "infinite", "duplicate", "cut", "prototype"]) {
    const { error, result } = await bench.attack("odd-json.mjs", { args: [kind], manifest: { outputSchema: { type: "object" } } });
    if (kind === "prototype" && bench.facts.profile === "dev") {
      same(JSON.stringify(result?.output), '{"__proto__":{"polluted":true}}', "the output");
      continue;
    }
    check(error?.code === "ERR_OUTPUT_INVALID", `"${kind}" came to ${error?.code ?? show(result)}, expected ERR_OUTPUT_INVALID`);
    check(error.message.length < 400, `the error for "${kind}" is ${error.message.length} characters long`);
  }
  notPolluted();
}

function notPolluted(): void {
  const probe: Record<string, unknown> = {};
  check(probe["polluted"] === undefined, "a plain object has got the property of an attack");
}

async function pollute(bench: AbuseBench): Promise<void> {
  for (const text of [
    '{"__proto__":{"polluted":true}}',
    '{"constructor":{"prototype":{"polluted":true}}}',
    '{"a":[{"__proto__":{"polluted":true}}]}',
  ]) {
    const ended = await bench.attack("echo.mjs", { task: { input: JSON.parse(text) } });
    if (bench.facts.profile === "dev") same(ranWell(ended).stdout, text, "what the tool read");
    else refused(ended, "ERR_INPUT_INVALID");
    notPolluted();
  }
}

/** What the tool writes may be anything; what toolruntime says itself is plain text, one line, and quotes none of it. */
async function controlCharacters(bench: AbuseBench): Promise<void> {
  const result = failedByItself(await bench.attack("terminal.mjs", { args: ["fail"] }));
  check(result.stderr.includes("\u001b]0;owned\u0007"), "stderr does not say what the tool wrote");
  const endings = [
    await bench.attack("terminal.mjs", { args: ["wait"], resources: { timeout: 1000 } }),
    await bench.attack("terminal.mjs", { args: ["fill"], resources: { output: 4096 } }),
    await bench.attack("terminal.mjs", { args: ["json"], manifest: { outputSchema: { type: "object" } } }),
  ];
  for (const { error } of endings) {
    check(error !== undefined, "the run did not end in an error");
    const said = `${error.message} ${JSON.stringify(error.details)}`;
    check(!/owned|<script>/.test(said), `the error ${error.code} quotes the tool: ${show(said)}`);
    // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
    check(!/[\u0000-\u001f\u007f-\u009f]/.test(said), `the error ${error.code} has control characters`);
  }
}

/** That nothing else of the service's environment is there is for the canary to show. */
async function readEnvironment(bench: AbuseBench): Promise<void> {
  const ended = await bench.attack("environment.mjs", { args: ["one"], task: { env: { GIVEN: "by the task" } } });
  const seen = JSON.parse(ranWell(ended).stdout);
  same(seen.env.GIVEN, "by the task", "the variable that the task gave");
  same(seen.args, ["one"], "the arguments");
}

export const dataCases: readonly AbuseCase[] = [
  { id: "B13", title: "reads the environment and the arguments", outcome: "NONE", attack: readEnvironment },
  { id: "C1", title: "endless stdout, endless stderr with no newline, a million one-byte writes", outcome: "LIMIT", attack: floodOutput },
  { id: "C2", title: "invalid UTF-8, NUL and lone surrogates in output", outcome: "OK", attack: oddOutput },
  { id: "C3", title: "output with 100,000 nested levels, 1e999, duplicate keys, a cut end", outcome: "DENY", attack: oddJson },
  { id: "C4", title: "input with __proto__ and constructor.prototype", outcome: "NONE", attack: pollute },
  { id: "C7", title: "control characters, ANSI, CRLF and HTML in output", outcome: "NONE", attack: controlCharacters },
];
