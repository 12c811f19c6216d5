import { afterEach, describe, expect, test, vi } from "vitest";
import type { Probe, RunIo, RunReport } from "../../src/backend.ts";
import { ToolRuntimeError } from "../../src/errors.ts";
import { createRegistry } from "../../src/registry.ts";
import { createRuntime, type ExecutionEvent, type Runtime, type RuntimeOptions, type Task } from "../../src/runtime.ts";
import type { ManifestInput, Tool } from "../../src/tool.ts";
import { codeOf, errorOf, exitedWell, fullCapability, readyProbe, scriptedBackend, toolWith, untilAborted } from "./support.ts";

const encoder = new TextEncoder();
const never = new Promise<never>(() => undefined);

function runtimeOf(backend: ReturnType<typeof scriptedBackend>, options: Partial<RuntimeOptions> = {}): Runtime {
  return createRuntime({ backend, security: "dev", ...options });
}

function writing(text: string | Uint8Array): ReturnType<typeof scriptedBackend> {
  return scriptedBackend({
    run: async (_, io) => {
      io.started();
      await io.stdout(typeof text === "string" ? encoder.encode(text) : text);
      return exitedWell;
    },
  });
}

async function taskWith(changes: Partial<ManifestInput> = {}): Promise<Task & { readonly tool: Tool }> {
  return { tool: await toolWith(changes) };
}

async function untilSome<T>(list: readonly T[], length = 1): Promise<void> {
  while (list.length < length) await new Promise((resolve) => setTimeout(resolve, 1));
}

afterEach(() => {
  vi.useRealTimers();
});

/** Options from somebody who does not use our types. */
function untyped(options: Partial<Record<keyof RuntimeOptions, unknown>>): Partial<RuntimeOptions> {
  return Object.assign({}, options) as Partial<RuntimeOptions>;
}

describe("options", () => {
  test.each<Partial<Record<keyof RuntimeOptions, unknown>>>([
    { security: "Hardened" },
    { security: "toString" },
    { timeout: "soon" },
    { resources: { memory: -1 } },
    { resources: { memroy: 1 } },
    { maxima: { memory: 0 } },
    { concurrency: { running: 0, queued: 1 } },
    { concurrency: { running: Number.NaN, queued: 1 } },
    { concurrency: { running: 1, queued: -1 } },
    { captureBytes: -1 },
    { maxInputBytes: Number.NaN },
    { maxOutputFiles: 0.5 },
  ])("%j is ERR_ARGUMENT_INVALID", async (options) => {
    expect(await codeOf(() => runtimeOf(scriptedBackend(), untyped(options)))).toBe("ERR_ARGUMENT_INVALID");
  });

  test("without a word the profile is standard", () => {
    expect(createRuntime({ backend: scriptedBackend() }).security).toBe("standard");
  });
});

describe("input", () => {
  const echoed = scriptedBackend();
  const runtime = runtimeOf(echoed, { maxInputBytes: 100 });
  const stdinOf = async (task: Task): Promise<string> => {
    await runtime.execute(task);
    return new TextDecoder().decode(echoed.runs.at(-1)?.stdin);
  };

  test("reaches the tool as JSON text; none is an empty object", async () => {
    const task = await taskWith();
    expect(await stdinOf(task)).toBe("{}");
    for (const input of [null, 0, "x", [1], { a: { b: "é" } }]) expect(await stdinOf({ ...task, input })).toBe(JSON.stringify(input));
  });

  test("what is checked is what the tool reads", async () => {
    const task = await taskWith({ inputSchema: { type: "object", properties: { a: { type: "string" } }, required: ["a"] } });
    expect(await stdinOf({ ...task, input: { a: new Date(0) } })).toBe('{"a":"1970-01-01T00:00:00.000Z"}');
    expect(await stdinOf({ ...task, input: { a: "x", b: undefined } })).toBe('{"a":"x"}');
    expect(await codeOf(runtime.execute({ ...task, input: { a: undefined } }))).toBe("ERR_INPUT_INVALID");
    expect(await codeOf(runtime.execute({ ...task, input: { a: "x", toJSON: () => ({ a: 1 }) } }))).toBe("ERR_INPUT_INVALID");
  });

  test("that no JSON can say, is too deep, does not fit or is too large is refused before anything starts", async () => {
    const before = echoed.runs.length;
    const task = await taskWith();
    const cycle: Record<string, unknown> = {};
    Object.assign(cycle, { left: cycle, right: cycle });
    let deep: unknown = 0;
    for (let level = 0; level < 300; level++) deep = [deep];
    for (const input of [1n, () => 1, Number.NaN, [Number.POSITIVE_INFINITY], cycle, deep]) {
      expect(await codeOf(runtime.execute({ ...task, input }))).toBe("ERR_INPUT_INVALID");
    }
    const typed = await taskWith({ inputSchema: { type: "object", required: ["a"] } });
    expect(await codeOf(runtime.execute(typed))).toBe("ERR_INPUT_INVALID");
    expect(await codeOf(runtime.execute({ ...task, input: "x".repeat(99) }))).toBe("ERR_INPUT_TOO_LARGE");
    expect(await codeOf(runtime.execute({ ...task, input: "x", files: { a: "x".repeat(98) } }))).toBe("ERR_INPUT_TOO_LARGE");
    expect(echoed.runs.length).toBe(before);
  });

  test("C4: prototype keys are data in dev and refused above, and change no prototype", async () => {
    const task = await taskWith();
    for (const text of ['{"__proto__":{"x":1}}', '{"constructor":{"prototype":{"x":1}}}']) {
      expect(await stdinOf({ ...task, input: JSON.parse(text) })).toBe(text);
      for (const security of ["standard", "hardened"] as const) {
        expect(await codeOf(runtime.execute({ ...task, input: JSON.parse(text), security }))).toBe("ERR_INPUT_INVALID");
      }
    }
    expect(Object.hasOwn(Object.prototype, "x")).toBe(false);
  });
});

describe("output", () => {
  const outputSchema = { type: "object", properties: { n: { type: "integer" } } };

  test("is text without a schema, JSON with one, and nothing where the tool failed", async () => {
    expect((await runtimeOf(writing('{"n":1}')).execute(await taskWith())).output).toBe('{"n":1}');
    expect((await runtimeOf(writing('{"n":1}')).execute(await taskWith({ outputSchema }))).output).toEqual({ n: 1 });
    const failing = scriptedBackend({
      run: async (_, io) => {
        await io.stdout(encoder.encode("no json"));
        return { ...exitedWell, exit: { kind: "exited", code: 3 } };
      },
    });
    expect(await runtimeOf(failing).execute(await taskWith({ outputSchema }))).toMatchObject({
      output: null,
      exitCode: 3,
      stdout: "no json",
    });
  });

  test.each([
    "",
    "{",
    '{"n":1.5}',
    '{"n":1}x',
    '{"n":1,"n":2}',
    '{"n":1e999}',
    "[".repeat(100_000),
    "\ufeff{}",
    `${" ".repeat(70_000)}\ufeff{}`,
  ])("C3: %j is ERR_OUTPUT_INVALID, with what the tool wrote", async (text) => {
    const { code, started, partial } = await errorOf(runtimeOf(writing(text)).execute(await taskWith({ outputSchema })));
    expect([code, started, partial?.stdout.slice(0, 10)]).toEqual(["ERR_OUTPUT_INVALID", true, text.slice(0, 10)]);
  });

  test("is read whole although the result shows only a part of it", async () => {
    const value = { n: 1, text: "é".repeat(100_000) };
    const result = await runtimeOf(writing(JSON.stringify(value))).execute(await taskWith({ outputSchema }));
    expect(result.output).toEqual(value);
    expect(result).toMatchObject({ truncated: { stdout: true, stderr: false }, replaced: { stdout: false } });
    expect(result.stdout.length).toBeLessThan(70_000);
  });

  test("C2: bytes that are no text come with a flag, and a cut character is no such byte", async () => {
    const odd = await runtimeOf(writing(Uint8Array.of(0, 0xff, 0xed, 0xa0, 0x80))).execute(await taskWith());
    expect(odd.replaced).toEqual({ stdout: true, stderr: false });
    expect(odd.stdout.isWellFormed()).toBe(true);
    const cut = scriptedBackend({
      run: async (_, io) => {
        await io.stdout(encoder.encode("é€"));
        await io.stderr(encoder.encode("é€"));
        return exitedWell;
      },
    });
    expect(await runtimeOf(cut, { captureBytes: 4 }).execute(await taskWith())).toMatchObject({
      stdout: "é",
      stderr: "é",
      truncated: { stdout: true, stderr: true },
      replaced: { stdout: false, stderr: false },
    });
  });

  test("over its limit ends the run: what came first is kept, the counter's receipt says hit", async () => {
    const endless = scriptedBackend({
      run: async (_, io) => {
        io.started();
        for (;;) {
          await io.stdout(encoder.encode("1234"));
          await io.stderr(encoder.encode("ab"));
        }
      },
    });
    const { code, partial, started } = await errorOf(runtimeOf(endless).execute({ ...(await taskWith()), resources: { output: 8 } }));
    expect([code, started]).toEqual(["ERR_LIMIT_OUTPUT", true]);
    expect(partial).toMatchObject({ stdout: "123412", stderr: "ab", truncated: { stdout: true, stderr: true } });
    expect(partial?.limits.find(({ limit }) => limit === "output")).toMatchObject({ applied: 8, hit: "yes", source: "counter" });
  });

  test("a backend that swallows the refusal does not save the run", async () => {
    const swallowing = scriptedBackend({
      run: async (_, io) => {
        io.started();
        try {
          await io.stdout(new Uint8Array(100));
        } catch {
          return exitedWell;
        }
        return exitedWell;
      },
    });
    expect(await codeOf(runtimeOf(swallowing).execute({ ...(await taskWith()), resources: { output: 8 } }))).toBe("ERR_LIMIT_OUTPUT");
  });
});

describe("how the tool ended", () => {
  test.each<[RunReport["exit"], number]>([
    [{ kind: "exited", code: 0 }, 0],
    [{ kind: "exited", code: 42 }, 42],
    [{ kind: "trapped", trap: "unreachable" }, 134],
    [{ kind: "signalled", signal: "SIGKILL", number: 9 }, 137],
  ])("%j has the exit code %d", async (exit, exitCode) => {
    const backend = scriptedBackend({ run: async () => ({ ...exitedWell, exit }) });
    expect(await runtimeOf(backend).execute(await taskWith())).toMatchObject({ exit, exitCode });
  });

  test("a limit that the backend met is that limit's error, with its readings", async () => {
    const backend = scriptedBackend({
      run: async (_, io) => {
        io.started();
        const readings = [{ limit: "memory", applied: 5, peak: 5, hit: "yes" }] as const;
        return { ...exitedWell, limitHit: { limit: "memory", observed: 5 }, readings };
      },
    });
    const { code, partial } = await errorOf(runtimeOf(backend).execute(await taskWith()));
    expect(code).toBe("ERR_LIMIT_MEMORY");
    expect(partial?.limits.find(({ limit }) => limit === "memory")).toMatchObject({ applied: 5, hit: "yes" });
  });

  test("an error of the backend's after the start comes with what the tool wrote, the id and the name", async () => {
    const backend = scriptedBackend({
      run: async (_, io) => {
        io.started();
        await io.stdout(encoder.encode("so far"));
        throw new ToolRuntimeError("ERR_LIMIT_DISK", "x");
      },
    });
    const error = await errorOf(runtimeOf(backend).execute(await taskWith(), { id: "ex_1" }));
    expect(error).toMatchObject({ code: "ERR_LIMIT_DISK", id: "ex_1", backend: "scripted", started: true, partial: { stdout: "so far" } });
  });

  test("an error before the start says that nothing started", async () => {
    const backend = scriptedBackend({ prepare: () => Promise.reject(new ToolRuntimeError("ERR_ARTIFACT_INVALID", "x")) });
    const error = await errorOf(runtimeOf(backend).execute(await taskWith()));
    expect(error).toMatchObject({ code: "ERR_ARTIFACT_INVALID", started: false, partial: undefined });
  });
});

describe("the end from outside", () => {
  const options = { timeout: "20ms" } as const;

  test("the timeout runs from the tool's start, and its receipt from the timer", async () => {
    const backend = scriptedBackend({
      prepare: () => new Promise((resolve) => setTimeout(resolve, 60)),
      run: (_, io) => untilAborted(io),
    });
    const before = performance.now();
    const { code, details, partial } = await errorOf(runtimeOf(backend, options).execute(await taskWith()));
    expect(code).toBe("ERR_LIMIT_TIMEOUT");
    expect(performance.now() - before).toBeGreaterThan(75);
    expect(details["observed"]).toBeLessThan(60);
    expect(partial?.limits.find(({ limit }) => limit === "timeout")).toMatchObject({ applied: 20, hit: "yes", source: "timer" });
  });

  /** Everything that a call waits for, each without an end of its own. */
  const stages: Record<string, (task: Task) => { runtime: Runtime; task: Task; entered?: () => Promise<void> }> = {
    probe: (task) => ({ runtime: runtimeOf(scriptedBackend({ probe: () => never })), task }),
    files: (task) => ({
      runtime: runtimeOf(scriptedBackend()),
      task: { ...task, files: { a: new ReadableStream<Uint8Array>({ pull: () => never }) } },
    }),
    blobs: (task) => ({
      runtime: runtimeOf(scriptedBackend(), { blobs: { get: () => never, put: () => never, open: () => never } }),
      task: { ...task, files: { a: { digest: "sha256:x" } } },
    }),
    secrets: (task) => ({
      runtime: runtimeOf(scriptedBackend(), { secrets: () => never }),
      task: { ...task, env: { A: { secret: "X" } } },
    }),
    prepare: (task) => ({
      runtime: runtimeOf(
        scriptedBackend({
          prepare: (_, signal) => new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
        }),
      ),
      task,
    }),
    run: (task) => ({ runtime: runtimeOf(scriptedBackend({ run: (_, io) => untilAborted(io) })), task }),
    outputs: (task) => ({
      runtime: runtimeOf(scriptedBackend({ run: (_, io) => io.file({ path: "a", content: Uint8Array.of(1) }).then(() => exitedWell) }), {
        blobs: { get: () => never, put: () => never, open: () => never },
      }),
      task,
    }),
  };
  const secretive = { permissions: { secrets: ["X"] } };

  test.each(Object.keys(stages))("abort, deadline and close are heard in the stage: %s", async (stage) => {
    const open = stages[stage];
    if (open === undefined) throw new Error("no such stage");
    const plain = await taskWith(secretive);
    const first = open(plain);
    expect(await codeOf(first.runtime.execute(first.task, { deadline: "20ms" }))).toBe("ERR_DEADLINE");
    const second = open(plain);
    const controller = new AbortController();
    const aborted = codeOf(second.runtime.execute(second.task, { signal: controller.signal }));
    setTimeout(() => controller.abort(), 20);
    expect(await aborted).toBe("ERR_ABORTED");
    const third = open(plain);
    const closed = codeOf(third.runtime.execute(third.task));
    await new Promise((resolve) => setTimeout(resolve, 20));
    await third.runtime.close();
    expect(await closed).toBe("ERR_CLOSED");
  });

  test("a signal that is aborted already starts nothing, and its own error comes through", async () => {
    const backend = scriptedBackend();
    const runtime = runtimeOf(backend);
    expect(await codeOf(runtime.execute(await taskWith(), { signal: AbortSignal.abort() }))).toBe("ERR_ABORTED");
    const reason = new ToolRuntimeError("ERR_POLICY_DENIED", "x");
    expect(await codeOf(runtime.execute(await taskWith(), { signal: AbortSignal.abort(reason) }))).toBe("ERR_POLICY_DENIED");
    expect(backend.runs).toEqual([]);
  });

  test("the first reason stays", async () => {
    const controller = new AbortController();
    const backend = scriptedBackend({
      run: async (_, io) => {
        const report = await untilAborted(io);
        await new Promise((resolve) => setTimeout(resolve, 60));
        return report;
      },
    });
    const running = codeOf(runtimeOf(backend).execute(await taskWith(), { signal: controller.signal, deadline: "40ms" }));
    setTimeout(() => controller.abort(), 10);
    expect(await running).toBe("ERR_ABORTED");
  });

  test("the caller's signal keeps no listener after the run", async () => {
    const controller = new AbortController();
    const remove = vi.spyOn(controller.signal, "removeEventListener");
    const add = vi.spyOn(controller.signal, "addEventListener");
    await runtimeOf(scriptedBackend()).execute(await taskWith(), { signal: controller.signal });
    expect(remove.mock.calls.length).toBe(add.mock.calls.length);
  });

  test("what was written before the end comes with the error", async () => {
    const controller = new AbortController();
    const backend = scriptedBackend({
      run: async (_, io) => {
        await io.stdout(encoder.encode("so far"));
        controller.abort();
        return untilAborted(io);
      },
    });
    // The abort comes before the backend listens, so that it must look at the signal as well.
    const looking = scriptedBackend({ run: (plan, io) => (io.signal.aborted ? Promise.resolve(exitedWell) : backend.run(plan, io)) });
    const runtime = createRuntime({
      backend: { ...looking, run: async (plan, io) => Promise.race([looking.run(plan, io), aborted(io)]) },
      security: "dev",
    });
    const { code, partial } = await errorOf(runtime.execute(await taskWith(), { signal: controller.signal }));
    expect([code, partial?.stdout]).toEqual(["ERR_ABORTED", "so far"]);
  });

  test("a backend that does not end what it was told to end is given up on", async () => {
    const controller = new AbortController();
    const backend = scriptedBackend({
      probe: async () => readyProbe({ ...fullCapability, limits: {} }),
      run: (_, io) => {
        io.started();
        return never;
      },
    });
    const runtime = runtimeOf(backend);
    const running = errorOf(runtime.execute(await taskWith(), { signal: controller.signal }));
    await untilSome(backend.runs);
    vi.useFakeTimers();
    let isSettled = false;
    void running.then(() => (isSettled = true));
    controller.abort();
    await vi.advanceTimersByTimeAsync(14_000);
    expect(isSettled).toBe(false);
    await vi.advanceTimersByTimeAsync(2000);
    const { code, details, started } = await running;
    expect([code, details["endedBy"], started]).toEqual(["ERR_BACKEND_FAILED", "ERR_ABORTED", true]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("no timer outlives a run", async () => {
    vi.useFakeTimers();
    const runtime = runtimeOf(scriptedBackend(), { timeout: "60s" });
    await runtime.execute(await taskWith(), { deadline: "60s" });
    expect(vi.getTimerCount()).toBe(0);
  });
});

function aborted(io: RunIo): Promise<RunReport> {
  return new Promise((resolve) => io.signal.addEventListener("abort", () => resolve(exitedWell)));
}

describe("the queue", () => {
  test("refuses what is over it, keeps the order, and the deadline runs in it", async () => {
    const ends: (() => void)[] = [];
    const backend = scriptedBackend({
      run: (_, io) => {
        io.started();
        return new Promise((resolve) => ends.push(() => resolve(exitedWell)));
      },
    });
    const runtime = runtimeOf(backend, { concurrency: { running: 1, queued: 2 } });
    const task = await taskWith();
    const first = runtime.execute(task, { id: "1" });
    await untilSome(backend.runs);
    const late = codeOf(runtime.execute(task, { id: "2", deadline: "20ms" }));
    const third = runtime.execute(task, { id: "3" });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await codeOf(runtime.execute(task, { id: "4" }))).toBe("ERR_QUEUE_FULL");
    expect(await late).toBe("ERR_DEADLINE");
    const fifth = runtime.execute(task, { id: "5" });
    ends[0]?.();
    await first;
    await untilSome(backend.runs, 2);
    ends[1]?.();
    await third;
    await untilSome(backend.runs, 3);
    ends[2]?.();
    await fifth;
    expect(backend.runs.map(({ id }) => id)).toEqual(["1", "3", "5"]);
  });

  test("a run that fails in any way gives its place back", async () => {
    const failing = [
      scriptedBackend({ run: () => Promise.reject(new Error("x")) }),
      scriptedBackend({ prepare: () => Promise.reject(new Error("x")) }),
      scriptedBackend({ run: () => Promise.resolve({ ...exitedWell, limitHit: { limit: "memory" } }) }),
      scriptedBackend({
        run: () => {
          throw new Error("at once");
        },
      }),
    ];
    for (const backend of failing) {
      const runtime = runtimeOf(backend, { concurrency: { running: 1, queued: 0 } });
      const task = await taskWith({ permissions: { secrets: ["X"] } });
      for (let count = 0; count < 3; count++) expect(await codeOf(runtime.execute(task))).not.toBe("ERR_QUEUE_FULL");
      const unknown = { ...task, env: { A: { secret: "X" } } };
      for (let count = 0; count < 3; count++) expect(await codeOf(runtime.execute(unknown))).toBe("ERR_SECRET_UNKNOWN");
    }
  });
});

describe("events", () => {
  test("come in order, numbered from 0, with the bytes as they were", async () => {
    const events: ExecutionEvent[] = [];
    const backend = scriptedBackend({
      run: async (_, io) => {
        io.started();
        await io.stdout(Uint8Array.of(0xff));
        await io.stderr(encoder.encode("e"));
        io.started();
        return exitedWell;
      },
    });
    await runtimeOf(backend).execute(await taskWith(), { onEvent: (event) => void events.push(event) });
    expect(events).toEqual([
      { type: "started", seq: 0 },
      { type: "stdout", seq: 1, bytes: Uint8Array.of(0xff) },
      { type: "stderr", seq: 2, bytes: encoder.encode("e") },
    ]);
  });

  test("a slow listener stops the reading", async () => {
    const log: string[] = [];
    const backend = scriptedBackend({
      run: async (_, io) => {
        for (const letter of "abc") {
          await io.stdout(encoder.encode(letter));
          log.push(`written ${letter}`);
        }
        return exitedWell;
      },
    });
    const onEvent = async (event: ExecutionEvent): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (event.type === "stdout") log.push(`taken ${new TextDecoder().decode(event.bytes)}`);
    };
    await runtimeOf(backend).execute(await taskWith(), { onEvent });
    expect(log).toEqual([..."abc"].flatMap((letter) => [`taken ${letter}`, `written ${letter}`]));
  });

  const talkative = () =>
    scriptedBackend({
      run: async (_, io) => {
        io.started();
        for (;;) await io.stdout(encoder.encode("x"));
      },
    });
  const faults: Record<string, () => void | Promise<void>> = {
    throws: () => {
      throw new Error("x");
    },
    rejects: () => Promise.reject(new Error("x")),
    "rejects later": () => new Promise((_, reject) => setTimeout(() => reject(new Error("x")), 5)),
  };
  test.each(Object.entries(faults))("a listener that %s ends the run with ERR_ABORTED", async (_, onEvent) => {
    expect(await codeOf(runtimeOf(talkative()).execute(await taskWith(), { onEvent }))).toBe("ERR_ABORTED");
  });

  test("a listener that never comes back holds the run only until it is ended", async () => {
    const call = { onEvent: () => never, deadline: "30ms" };
    expect(await codeOf(runtimeOf(talkative()).execute(await taskWith(), call))).toBe("ERR_DEADLINE");
  });

  test("a listener in JavaScript may give back anything", async () => {
    const values: unknown[] = [];
    const runtime = runtimeOf(writing("x"));
    for (const value of [1, null, "x", {}, []]) {
      const onEvent = Object.assign(() => undefined, {});
      const returning = new Proxy(onEvent, { apply: () => value });
      await runtime.execute(await taskWith(), { onEvent: returning });
      values.push(value);
    }
    expect(values).toHaveLength(5);
  });
});

describe("close", () => {
  test("ends what runs, waits for it, and takes nothing more", async () => {
    let isGone = false;
    const backend = scriptedBackend({
      run: async (_, io) => {
        const report = await untilAborted(io);
        await new Promise((resolve) => setTimeout(resolve, 20));
        isGone = true;
        return report;
      },
    });
    const runtime = runtimeOf(backend);
    const running = codeOf(runtime.execute(await taskWith()));
    await untilSome(backend.runs);
    await runtime.close();
    expect(isGone).toBe(true);
    expect(await running).toBe("ERR_CLOSED");
    expect(await codeOf(runtime.execute(await taskWith()))).toBe("ERR_CLOSED");
    await runtime.close();
  });
});

describe("plans", () => {
  test("are made once for the same demand, and frozen", async () => {
    const probe = vi.fn<() => Promise<Probe>>(async () => readyProbe(fullCapability));
    const backend = scriptedBackend({ probe });
    const runtime = runtimeOf(backend);
    const task = await taskWith();
    await runtime.execute(task);
    await runtime.execute({ ...task, input: { other: true } });
    await runtime.execute({ ...task, resources: { memory: "1Mi" } });
    await runtime.execute({ ...task, resources: { memory: 2 ** 20 } });
    const [first, second, third, fourth] = backend.plans;
    expect(second).toBe(first);
    expect(third?.digest).not.toBe(first?.digest);
    expect(fourth?.digest).toBe(third?.digest);
    expect(Object.isFrozen(first) && Object.isFrozen(first?.limits)).toBe(true);
    expect(probe).toHaveBeenCalledTimes(1);
  });

  test("are negotiated again when the probe has run out, and not before", async () => {
    let capability = fullCapability;
    const probe = vi.fn<() => Promise<Probe>>(async () => ({ ...readyProbe(capability), validForMs: 40 }));
    const runtime = runtimeOf(scriptedBackend({ probe }));
    const task = { ...(await taskWith()), resources: { memory: "1Mi" } };
    await runtime.execute(task);
    await runtime.explain(task);
    await runtime.execute(task);
    expect(probe).toHaveBeenCalledTimes(1);
    capability = { ...fullCapability, limits: {} };
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(await codeOf(runtime.execute(task))).toBe("ERR_LIMIT_UNENFORCEABLE");
    expect(probe).toHaveBeenCalledTimes(2);
  });

  test("a probe is asked once, however many wait for it; one that fails is asked again", async () => {
    let failures = 1;
    const probe = vi.fn<() => Promise<Probe>>(async () => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      if (failures-- > 0) throw new ToolRuntimeError("ERR_BACKEND_UNAVAILABLE", "x");
      return readyProbe(fullCapability);
    });
    const runtime = runtimeOf(scriptedBackend({ probe }));
    const task = await taskWith();
    expect(await Promise.all([1, 2, 3].map(() => codeOf(runtime.execute(task))))).toEqual(Array(3).fill("ERR_BACKEND_UNAVAILABLE"));
    expect(probe).toHaveBeenCalledTimes(1);
    await Promise.all([runtime.execute(task), runtime.execute(task)]);
    expect(probe).toHaveBeenCalledTimes(2);
  });

  test("many different demands do not pile up", async () => {
    const backend = scriptedBackend();
    const runtime = runtimeOf(backend);
    const task = await taskWith();
    for (let memory = 1; memory <= 200; memory++) await runtime.execute({ ...task, resources: { memory } });
    expect(backend.plans.map(({ limits }) => limits.find(({ limit }) => limit === "memory")?.value)).toEqual(
      Array.from({ length: 200 }, (_, index) => index + 1),
    );
  });

  test("the task's profile is a floor: it makes stricter, never weaker, and a mistyped one is no profile", async () => {
    const backend = scriptedBackend();
    const runtime = createRuntime({ backend, security: "standard" });
    const task = await taskWith();
    for (const security of ["dev", "standard", "hardened"] as const) await runtime.execute({ ...task, security });
    expect(backend.plans.map(({ profile }) => profile)).toEqual(["standard", "standard", "hardened"]);
    const mistyped: Task = Object.assign({ ...task }, { security: "Hardened" });
    expect(await codeOf(runtime.execute(mistyped))).toBe("ERR_ARGUMENT_INVALID");
  });
});

describe("tools by name", () => {
  test("are looked up in the registry; without one, or without the tool, ERR_TOOL_NOT_FOUND", async () => {
    const tool = await toolWith();
    const runtime = runtimeOf(scriptedBackend(), { tools: createRegistry([tool]) });
    expect((await runtime.execute({ tool: { name: "sample" } })).exitCode).toBe(0);
    expect(await codeOf(runtime.execute({ tool: { name: "smaple" } }))).toBe("ERR_TOOL_NOT_FOUND");
    expect(await codeOf(runtimeOf(scriptedBackend()).execute({ tool: { name: "sample" } }))).toBe("ERR_TOOL_NOT_FOUND");
    expect(await runtime.explain({ tool: { name: "smaple" } })).toMatchObject([{ verdict: "refused", code: "ERR_TOOL_NOT_FOUND" }]);
  });
});

describe("secrets", () => {
  test("reach the backend and neither the result nor an error", async () => {
    const task = { ...(await taskWith({ permissions: { secrets: ["X"] } })), env: { A: { secret: "X" } } };
    const given: string[] = [];
    const good = scriptedBackend({
      run: async (_, io) => {
        given.push(io.env["A"] ?? "");
        return exitedWell;
      },
    });
    const bad = scriptedBackend({ run: () => Promise.reject(new ToolRuntimeError("ERR_BACKEND_FAILED", "x")) });
    const options = { secrets: () => "s3cret" };
    const result = await runtimeOf(good, options).execute(task);
    const error = await errorOf(runtimeOf(bad, options).execute(task));
    expect(given).toEqual(["s3cret"]);
    expect(JSON.stringify([result, error, good.plans])).not.toContain("s3cret");
  });
});
