import { describe, expect, it } from "vitest";
import { Window } from "../../src/edge/window.ts";
import { openService } from "./support.ts";

const json = { "content-type": "application/json", accept: "application/x-ndjson" };
const loud = "head -c 20000000 /dev/zero | tr '\\0' x; echo end >&2";

interface Line {
  readonly type: string;
  readonly id?: string;
  readonly text?: string;
  readonly result?: { readonly output: unknown; readonly stdout: string; readonly brief?: boolean; readonly exitCode: number };
}

/** Reads a stream's lines as they come. */
async function* linesOf(response: Response): AsyncGenerator<Line> {
  let rest = "";
  for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line) as Line;
  }
}

async function open(scripts: Record<string, string>, config = {}) {
  const { url } = await openService(config, scripts);
  const post = (tool: string, headers: Record<string, string>, resources: object = { output: "30M" }) =>
    fetch(`${url}/v1/executions`, { method: "POST", headers: { ...json, ...headers }, body: JSON.stringify({ tool, resources }) });
  const ack = (id: string, body: unknown) =>
    fetch(`${url}/v1/executions/${id}/ack`, { method: "POST", headers: json, body: JSON.stringify(body) });
  return { post, ack };
}

describe("a window", () => {
  it("holds its writer beyond what was acknowledged, and lets it go on with the next acknowledgement", async () => {
    const window = new Window({ bytes: 100, stalledMs: 60_000, onStalled: () => undefined });
    expect(window.send(100)).toBeUndefined();
    let isHeld = true;
    const held = Promise.resolve(window.send(1)).then(() => (isHeld = false));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isHeld).toBe(true);
    window.acknowledge(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(isHeld).toBe(true);
    window.acknowledge(1);
    await held;
    // Nobody makes room by what was never sent.
    window.acknowledge(1e9);
    expect(window.send(100)).toBeUndefined();
    expect(window.send(1)).toBeInstanceOf(Promise);
    window.close();
  });
});

describe("a stream with a window", () => {
  it("brings all of it to a reader that acknowledges", { timeout: 30_000 }, async () => {
    const { post, ack } = await open({ loud });
    const size = 2 ** 20;
    let [id, bytes, asked] = ["", 0, 0];
    let result: Line["result"];
    for await (const line of linesOf(await post("loud", { "toolruntime-window": String(size), prefer: "return=minimal" }))) {
      if (line.type === "accepted") id = line.id ?? "";
      bytes += line.type === "stdout" ? (line.text ?? "").length : 0;
      if (line.type === "result") ({ result } = line);
      if (bytes - asked < size / 2) continue;
      asked = bytes;
      expect(await (await ack(id, { bytes })).json()).toEqual({ id, live: true });
    }
    expect(bytes).toBe(20_000_000);
    expect(result).toMatchObject({ exitCode: 0, brief: true, output: null, stdout: "" });
  });

  it("stops at its size where nobody acknowledges, and ends as with a reader that does not read", { timeout: 30_000 }, async () => {
    const { post } = await open({ loud }, { limits: { stalledReaderMs: 1000 } });
    let bytes = 0;
    let last = "";
    for await (const line of linesOf(await post("loud", { "toolruntime-window": String(2 ** 20) }))) {
      last = line.type;
      bytes += line.type === "stdout" ? (line.text ?? "").length : 0;
    }
    expect(bytes).toBeGreaterThan(2 ** 20);
    // One chunk of a pipe more than the window.
    expect(bytes).toBeLessThan(2 ** 20 + 2 ** 18);
    expect(last).toBe("end");
  });

  it.for(["0", "65535", "abc", "-1", "1e6", "99999999999"])("is refused with the size %s", async (size) => {
    const { post } = await open({ quiet: "true" });
    expect((await post("quiet", { "toolruntime-window": size })).status).toBe(400);
  });

  it("takes acknowledgements of its own runs alone, and only such as are numbers", async () => {
    const { ack } = await open({});
    expect(await (await ack("ex_other", { bytes: 5 })).json()).toEqual({ id: "ex_other", live: false });
    for (const body of [{}, { bytes: -1 }, { bytes: 0.5 }, { bytes: "5" }, [], { bytes: 1, more: 1 }])
      expect((await ack("ex_other", body)).status).toBe(400);
  });
});

describe("a caller that prefers a minimal answer", () => {
  it("gets long output once, in the events, and short output in the result too", async () => {
    const { post } = await open({ long: "head -c 50000 /dev/zero | tr '\\0' x", short: "echo short" });
    const resultOf = async (tool: string, headers: Record<string, string>) => {
      for await (const { type, result } of linesOf(await post(tool, headers))) if (type === "result") return result;
      return undefined;
    };
    expect(await resultOf("long", { prefer: "return=minimal" })).toMatchObject({ output: null, stdout: "", brief: true });
    expect((await resultOf("long", {}))?.stdout.length).toBe(50_000);
    expect(await resultOf("short", { prefer: "return=minimal" })).toMatchObject({ output: "short\n", stdout: "short\n" });
    const blocking = await post("long", { prefer: "return=minimal", accept: "application/json" });
    expect(((await blocking.json()) as { stdout: string }).stdout.length).toBe(50_000);
  });
});
