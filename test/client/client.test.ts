import { describe, expect, it } from "vitest";
import { createClient, type RunEvent } from "../../src/client.ts";
import { errorOf } from "../unit/support.ts";
import { until } from "../edge/support.ts";
import { openClient } from "./support.ts";

const decoder = new TextDecoder();

function textOf(events: readonly RunEvent[], stream: "stdout" | "stderr"): string {
  return events.map((event) => (event.type === stream ? decoder.decode(event.bytes) : "")).join("");
}

async function collect(events: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const all: RunEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

describe("run", () => {
  it("gives the result", async () => {
    const { client } = await openClient();
    const result = await client.run({ tool: "echo", input: { text: "hällo" }, resources: { memory: "64Mi" } });
    expect(result).toMatchObject({ output: { text: "hällo" }, exitCode: 0, backend: { name: "wasm" } });
    expect(result.limits.find(({ limit }) => limit === "memory")).toMatchObject({ requested: 64 * 2 ** 20 });
    expect((await client.run({ tool: { name: "echo", version: "1.0.0" } })).output).toEqual({});
  });

  it("throws what the service says, with all its fields", async () => {
    const { client } = await openClient({ slow: "echo begun; echo why >&2; sleep 30" });
    const error = await errorOf(client.run({ tool: "slow", resources: { timeout: 300 } }));
    expect(error).toMatchObject({
      code: "ERR_LIMIT_TIMEOUT",
      actor: "caller",
      retryable: false,
      started: true,
      backend: "unsafe",
      details: { limit: "timeout", value: 300 },
      partial: { stdout: "begun\n", stderr: "why\n", truncated: { stdout: false, stderr: false } },
    });
    expect(error.id).toMatch(/^ex_/);
    expect(error.partial?.limits.find(({ limit }) => limit === "timeout")?.hit).toBe("yes");
    expect(await errorOf(client.run({ tool: "ecoh" }))).toMatchObject({ code: "ERR_TOOL_NOT_FOUND", started: false });
  });

  it("ends the run when its signal is aborted", async () => {
    const { client, audit } = await openClient({ slow: "sleep 30" });
    const controller = new AbortController();
    const run = errorOf(client.run({ tool: "slow" }, { signal: controller.signal }));
    await until(() => audit().some((line) => line.includes('"event":"started"')), 5000, "the tool runs");
    controller.abort(new Error("the caller's own"));
    const error = await run;
    expect(error).toMatchObject({ code: "ERR_ABORTED", started: true });
    expect(error.cause).toMatchObject({ message: "the caller's own" });
    await until(() => audit().some((line) => line.includes("ERR_ABORTED")), 5000, "the run is over");
    expect(await errorOf(client.run({ tool: "slow" }, { signal: AbortSignal.abort() }))).toMatchObject({
      code: "ERR_ABORTED",
      started: false,
    });
  });

  it("ends at its deadline", async () => {
    const { client } = await openClient({ slow: "sleep 30" });
    expect(await errorOf(client.run({ tool: "slow" }, { deadline: 300 }))).toMatchObject({ code: "ERR_DEADLINE", started: true });
    expect(await errorOf(client.run({ tool: "slow" }, { deadline: "soon" }))).toMatchObject({ code: "ERR_ARGUMENT_INVALID" });
  });

  it("refuses input that JSON cannot say", async () => {
    const { client } = await openClient();
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    for (const input of [cycle, 1n, () => 1]) {
      expect((await errorOf(client.run({ tool: "echo", input }))).code).toBe("ERR_INPUT_INVALID");
    }
  });
});

describe("files", () => {
  const script = 'for f in *; do case "$f" in out|tmp) ;; *) cp "$f" "out/$f";; esac; done';
  const big = new Uint8Array(3 * 2 ** 20).map((_, index) => (index * 7) % 256);

  it("go in by every kind and size, and come back by digest", async () => {
    const { client } = await openClient({ copy: script });
    const known = await client.blobs.put(new TextEncoder().encode("by digest"));
    const small = {
      text: "hällo",
      bytes: Uint8Array.of(0, 255, 128),
      blob: new Blob(["a blob"]),
      stream: new Blob(["a stream"]).stream(),
      digest: { digest: known.digest },
      'odd "name" %22': "odd",
      task: "a file of the form's own name",
    };
    for (const files of [small, { ...small, stream: new Blob(["a stream"]).stream(), big, bigBlob: new Blob([big]) }]) {
      const result = await client.run({ tool: "copy", files });
      const back = new Map<string, Uint8Array>();
      for (const { path, digest } of result.files) back.set(path, await client.blobs.get(digest));
      expect([...back.keys()].toSorted()).toEqual(Object.keys(files).toSorted());
      expect(decoder.decode(back.get("text"))).toBe("hällo");
      expect(back.get("bytes")).toEqual(Uint8Array.of(0, 255, 128));
      expect(decoder.decode(back.get("stream"))).toBe("a stream");
      expect(decoder.decode(back.get("digest"))).toBe("by digest");
      expect(decoder.decode(back.get("task"))).toBe("a file of the form's own name");
      const large = ["big", "bigBlob"].filter((path) => path in files);
      // As a matcher's difference three million numbers take long.
      expect(large.filter((path) => Buffer.compare(back.get(path) ?? new Uint8Array(0), big) !== 0)).toEqual([]);
    }
  });

  it("as blobs are checked against their digest", async () => {
    const { client, with: make } = await openClient();
    const { digest, size } = await client.blobs.put(new Blob(["hello"]).stream());
    expect([digest, size]).toEqual(["sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", 5]);
    const forged = make({ fetch: async () => new Response("hallo") });
    expect((await errorOf(forged.blobs.get(digest))).code).toBe("ERR_ANSWER_INVALID");
    expect((await errorOf(client.blobs.get(`sha256:${"0".repeat(64)}`))).code).toBe("ERR_BLOB_NOT_FOUND");
    const little = make({ maxAnswerBytes: 4 });
    expect((await errorOf(little.blobs.get(digest))).code).toBe("ERR_ANSWER_INVALID");
  });
});

describe("stream", () => {
  it("gives what happens as it happens, the result last", async () => {
    const { client } = await openClient({ speaks: "echo one; sleep 0.05; echo two >&2; printf '\\303\\050'" });
    const events = await collect(client.stream({ tool: "speaks" }));
    expect(events.map(({ type }) => type).filter((type, index, all) => type !== all[index - 1])).toEqual([
      "accepted", "started", "stdout", "stderr", "stdout", "result",
    ]); // prettier-ignore
    expect(textOf(events, "stderr")).toBe("two\n");
    const stdout = events.flatMap((event) => (event.type === "stdout" ? [...event.bytes] : []));
    expect(stdout).toEqual([...new TextEncoder().encode("one\n"), 0xc3, 0x28]);
    const last = events.at(-1);
    expect(last?.type === "result" ? last.result : undefined).toMatchObject({ exitCode: 0, stderr: "two\n" });
  });

  it("throws what the run ended with, before and after the start", async () => {
    const { client } = await openClient({ slow: "echo begun; sleep 30" });
    const seen: string[] = [];
    const read = async (): Promise<void> => {
      for await (const { type } of client.stream({ tool: "slow", resources: { timeout: 300 } })) seen.push(type);
    };
    expect(await errorOf(read())).toMatchObject({ code: "ERR_LIMIT_TIMEOUT", partial: { stdout: "begun\n" } });
    expect(seen).toEqual(["accepted", "started", "stdout"]);
    expect((await errorOf(collect(client.stream({ tool: "none" })))).code).toBe("ERR_TOOL_NOT_FOUND");
  });

  it("ends the run when its loop is left, and waits until it is over", async () => {
    const { client } = await openClient({ slow: "echo begun; sleep 30" });
    let id = "";
    for await (const event of client.stream({ tool: "slow" })) {
      if (event.type === "accepted") id = event.id;
      if (event.type === "stdout") break;
    }
    const state = await client.execution(id).get();
    expect(state).toMatchObject({ status: "ended", problem: { code: "ERR_ABORTED", started: true } });
  });

  it("ends the run when its signal is aborted", async () => {
    const { client } = await openClient({ slow: "echo begun; sleep 30" });
    const controller = new AbortController();
    let id = "";
    const read = async (): Promise<void> => {
      for await (const event of client.stream({ tool: "slow" }, { signal: controller.signal })) {
        if (event.type === "accepted") id = event.id;
        if (event.type === "stdout") controller.abort();
      }
    };
    expect((await errorOf(read())).code).toBe("ERR_ABORTED");
    expect((await client.execution(id).get()).status).toBe("ended");
  });

  it("holds back the tool while nobody asks for events", async () => {
    const { client } = await openClient({ loud: "head -c 30000000 /dev/zero | tr '\\0' x; echo end >&2" });
    let bytes = 0;
    let id = "";
    let meanwhile: string | undefined;
    for await (const event of client.stream({ tool: "loud", resources: { output: "40M" } })) {
      if (event.type === "accepted") id = event.id;
      if (event.type !== "stdout") continue;
      bytes += event.bytes.length;
      if (meanwhile !== undefined) continue;
      await new Promise((resolve) => setTimeout(resolve, 1000));
      meanwhile = (await client.execution(id).get()).status;
    }
    expect([bytes, meanwhile]).toEqual([30_000_000, "running"]);
  });
});

describe("start", () => {
  it("gives a run that goes on by itself, to be waited for, read and cancelled", async () => {
    const { client } = await openClient({ steps: "echo one; sleep 0.3; echo two", slow: "echo begun; sleep 30" });
    const execution = await client.start({ tool: "steps" });
    expect(execution.id).toMatch(/^ex_/);
    expect((await execution.get()).tool.name).toBe("steps");
    expect(await execution.wait()).toMatchObject({ stdout: "one\ntwo\n", id: execution.id });
    const events = await collect(client.execution(execution.id).events());
    expect(textOf(events, "stdout")).toBe("one\ntwo\n");
    expect(events.at(-1)?.type).toBe("result");
    const first = events.find(({ type }) => type === "stdout");
    expect(textOf(await collect(execution.events({ after: first?.seq ?? 0 })), "stdout")).toBe("two\n");

    const slow = await client.start({ tool: "slow" });
    const ended = await slow.cancel();
    expect(ended).toMatchObject({ status: "ended", problem: { code: "ERR_ABORTED" } });
    expect((await errorOf(slow.wait())).code).toBe("ERR_ABORTED");
    expect((await errorOf(collect(slow.events()))).code).toBe("ERR_ABORTED");
    expect((await slow.cancel()).status).toBe("ended");
  });

  it("goes on when whoever waits or reads has gone", async () => {
    const { client } = await openClient({ steps: "echo one; sleep 0.5; echo two" });
    const execution = await client.start({ tool: "steps" });
    for await (const { type } of execution.events()) if (type === "stdout") break;
    expect((await errorOf(execution.wait({ signal: AbortSignal.timeout(50) }))).code).toBe("ERR_ABORTED");
    expect((await execution.wait()).stdout).toBe("one\ntwo\n");
  });

  it("says that an execution is not known", async () => {
    const { client } = await openClient();
    const execution = client.execution("ex_none");
    const work = [execution.get(), execution.wait(), execution.cancel(), collect(execution.events())];
    for (const { code } of await Promise.all(work.map(errorOf))) expect(code).toBe("ERR_EXECUTION_NOT_FOUND");
  });
});

describe("what a service has", () => {
  it("are tools and backends", async () => {
    const { client } = await openClient({ speaks: "echo one" });
    expect((await client.tools.list()).map(({ name }) => name)).toEqual(["echo", "speaks"]);
    const echo = await client.tools.get("echo");
    expect(echo).toMatchObject({ name: "echo", version: "1.0.0", artifacts: ["wasm"] });
    expect((await client.tools.get(`echo@${echo.digest}`)).digest).toBe(echo.digest);
    expect((await client.tools.get({ name: "echo", version: "1.0.0" })).digest).toBe(echo.digest);
    expect((await errorOf(client.tools.get("ecoh"))).code).toBe("ERR_TOOL_NOT_FOUND");
    expect((await client.backends()).backends.map(({ backend, status }) => [backend, status])).toEqual([
      ["wasm", "ready"],
      ["unsafe", "ready"],
    ]);
  });
});

describe("createClient", () => {
  it("refuses an address that it cannot use, or a token that would go in the clear", async () => {
    const refused = ["nowhere", "ftp://a.example", "https://name:word@a.example", "http://a.example"];
    for (const url of refused)
      expect((await errorOf(() => createClient({ url, token: "secret-token-012345" }))).code).toBe("ERR_ARGUMENT_INVALID");
    for (const url of ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1", "https://a.example/base/"])
      createClient({ url, token: "t" });
    createClient({ url: "http://a.example" });
    createClient({ url: "http://a.example", token: "t", insecureHttp: true });
    for (const retries of [-1, 1.5])
      expect((await errorOf(() => createClient({ url: "http://a.example", retries }))).code).toBe("ERR_ARGUMENT_INVALID");
  });
});
