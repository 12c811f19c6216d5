import { existsSync, readFileSync, readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { Agent, request as httpRequest } from "node:http";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Validator } from "@cfworker/json-schema";
import { describe, expect, onTestFinished, test } from "vitest";
import { parseConfig } from "../../src/adapters/executor/index.ts";
import { verifyAudit, type AuditRecord } from "../../src/store.ts";
import { cli, ended, makeScript, seen, startCli, unsafe, type Ended } from "../cli/support.ts";
import { scratchFolder } from "../registry/support.ts";

interface StartedNode {
  readonly url: string;
  readonly pid: number;
  /** What it has written to stdout until it listened. */
  readonly shown: string;
  readonly end: Promise<Ended>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts `toolruntime node` in a folder, with the tools that are there, and waits until it listens. */
async function startNode(cwd: string, port = "0"): Promise<StartedNode> {
  const child = startCli(["node", "--port", port, "--tools", cwd, ...unsafe], { cwd });
  const end = ended(child);
  const shown = await seen(child.stdout, "drains it");
  const url = /http:\S+/.exec(shown)?.[0] ?? "";
  return { url, shown, end, pid: child.pid ?? 0, kill: (signal) => child.kill(signal) };
}

function post(url: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  const init = { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) };
  return fetch(`${url}/v1/executions`, init);
}

interface State {
  readonly id: string;
  readonly status: string;
  readonly problem?: { readonly code: string; readonly started: boolean; readonly retryable: boolean };
  readonly result?: { readonly stdout: string };
}

async function stateOf(url: string, id: string): Promise<State> {
  const response = await fetch(`${url}/v1/executions/${id}`);
  expect(response.status).toBe(200);
  return (await response.json()) as State;
}

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`It did not come to this: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The audit log of a folder of state, as an operator reads it while the node runs. */
function auditOf(folder: string): string[] {
  using database = new DatabaseSync(join(folder, "state", "state.db"), { readOnly: true });
  return database
    .prepare("SELECT line FROM audit ORDER BY seq")
    .all()
    .map(({ line }) => String(line));
}

/** Pids of processes that have the marker on their command line. */
function processesWith(marker: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(marker);
    } catch {
      return false;
    }
  });
}

function startedIn(folder: string): number {
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith("started-")).length : 0;
}

describe("G7: a node that is killed and started again", () => {
  test("ends what it had started, removes what is left of it, keeps what had ended, and says so", async () => {
    await using scratch = await scratchFolder();
    const marker = `7${process.pid}${Date.now() % 100_000}`;
    await makeScript(scratch.path, "fast", "echo done");
    await makeScript(scratch.path, "slow", `touch '${scratch.path}/started-'$$; exec sleep ${marker}`);
    await writeFile(
      join(scratch.path, "toolruntime.json"),
      '{ "concurrency": { "running": 2, "queued": 10 }, "reaper": false, /* a folder of scratch */ "backends": { "unsafe": { "acceptUnsafe": true, "scratch": "scratch" } } }',
    );
    const first = await startNode(scratch.path);
    const keyed = (key: string, tool: string, prefer = "respond-async") => post(first.url, { tool }, { "idempotency-key": key, prefer });
    const kept = await keyed("kept", "fast", "wait=20");
    const answer = (await kept.json()) as object;
    expect(answer).toMatchObject({ output: "done\n" });
    const slow = ((await (await keyed("slow", "slow")).json()) as State).id;
    await keyed("slow-too", "slow");
    await until(() => startedIn(scratch.path) === 2, "both run");
    const waiting = ((await (await keyed("waiting", "fast")).json()) as State).id;
    expect(processesWith(marker)).toHaveLength(2);
    first.kill("SIGKILL");
    await first.end;

    const second = await startNode(scratch.path);
    // Before it says that it listens, nothing is left of the first one.
    expect(processesWith(marker)).toEqual([]);
    expect(second.shown).toContain("had not ended 3 executions, of which 2 may have started");
    expect(second.shown).toMatch(/removed what it had left in unsafe: .*folder /);
    expect(await stateOf(second.url, slow)).toMatchObject({
      status: "ended",
      problem: { code: "ERR_EXECUTION_LOST", started: true, retryable: true },
    });
    expect(await stateOf(second.url, waiting)).toMatchObject({ status: "ended", problem: { code: "ERR_EXECUTION_LOST", started: false } });
    const again = (key: string, tool: string) => post(second.url, { tool }, { "idempotency-key": key });
    const [same, lost, rerun] = [await again("kept", "fast"), await again("slow", "slow"), await again("waiting", "fast")];
    expect(await same.json()).toEqual(answer);
    expect([lost.status, ((await lost.json()) as { code: string }).code]).toEqual([502, "ERR_EXECUTION_LOST"]);
    expect(await rerun.json()).toMatchObject({ output: "done\n" });
    expect(startedIn(scratch.path)).toBe(2);

    const lines = auditOf(scratch.path);
    expect(await verifyAudit(lines)).toMatchObject({ ok: true });
    const records = lines.map((line) => JSON.parse(line) as AuditRecord);
    const idsOf = (event: string) =>
      records
        .filter((one) => one.event === event)
        .map(({ executionId }) => executionId)
        .toSorted();
    expect(idsOf("ended")).toEqual(idsOf("accepted"));
    expect(lines.some((line) => line.includes('"event":"reaped","backend":"unsafe"'))).toBe(true);
    second.kill("SIGTERM");
    expect((await second.end).code).toBe(0);
  });

  test("killed again and again, runs nothing twice that has a key, and answers each key for good", { timeout: 120_000 }, async () => {
    await using scratch = await scratchFolder();
    const effects = join(scratch.path, "effect-");
    await makeScript(scratch.path, "effect", `n=$(tr -dc 0-9); echo once >> '${effects}'$n; sleep 0.1; echo $n`);
    await writeFile(join(scratch.path, "toolruntime.json"), '{ "concurrency": { "running": 4, "queued": 100 } }');
    let node = await startNode(scratch.path);
    const { url } = node;
    /** Sends a request until its answer is for good. */
    const insist = async (n: number): Promise<string> => {
      for (;;) {
        const answer = await post(url, { tool: "effect", input: { n } }, { "idempotency-key": `key-${n}` })
          .then((response) => response.json() as Promise<{ code?: string; started?: boolean; stdout?: string }>)
          .catch(() => undefined);
        if (answer?.stdout !== undefined) return answer.stdout.trim();
        if (answer?.started === true) return answer.code ?? "";
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const answered = new Set<number>();
    const answers = Promise.all(Array.from({ length: 100 }, (_, n) => insist(n).finally(() => answered.add(n))));
    let kills = 0;
    for (; kills < 4 && answered.size < 90; kills++) {
      await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 400));
      node.kill("SIGKILL");
      await node.end;
      node = await startNode(scratch.path, new URL(url).port);
    }
    const codes = await answers;
    expect(kills).toBe(4);
    const timesOf = (n: number): number => (existsSync(effects + n) ? readFileSync(effects + n, "utf8").split("\n").length - 1 : 0);
    const ended = codes.flatMap((code, n) => (code === String(n) ? [n] : []));
    expect(ended.filter((n) => timesOf(n) !== 1)).toEqual([]);
    const lost = codes.map((_, n) => n).filter((n) => !ended.includes(n));
    expect(lost.filter((n) => codes[n] !== "ERR_EXECUTION_LOST" || timesOf(n) > 1)).toEqual([]);
    // Whatever was killed while it ran, and no more than that, is lost.
    expect(lost.length).toBeLessThanOrEqual(4 * kills);
    expect(await insist(0)).toBe(codes[0]);
    const lines = auditOf(scratch.path);
    expect(await verifyAudit(lines)).toMatchObject({ ok: true });
    node.kill("SIGTERM");
    expect((await node.end).code).toBe(0);
  });

  test("a second node does not take a folder of state that one has", async () => {
    await using scratch = await scratchFolder();
    const first = await startNode(scratch.path);
    const { code, stderr } = await cli(["node", "--port", "0", "--tools", scratch.path, ...unsafe], { cwd: scratch.path });
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringMatching(/ERR_CONFIG_INVALID: .*another process has it/) });
    first.kill("SIGTERM");
    expect((await first.end).code).toBe(0);
  });
});

interface Refused {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly code: string;
}

/** Asks for a run on a connection of its own. */
function tryOnce(url: string): Promise<Refused> {
  const agent = new Agent();
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      `${url}/v1/executions`,
      { method: "POST", agent, headers: { "content-type": "application/json" } },
      (answer) => {
        let text = "";
        answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
        answer.on("end", () => {
          agent.destroy();
          const { code } = JSON.parse(text) as { code: string };
          resolve({ status: answer.statusCode ?? 0, retryAfter: answer.headers["retry-after"], code });
        });
      },
    );
    sent.on("error", reject);
    sent.end('{"tool":"fast"}');
  });
}

describe("G6: SIGTERM under load", () => {
  test("refuses new work with 503, lets what runs and what waits end, and exits with 0", async () => {
    await using scratch = await scratchFolder();
    await makeScript(scratch.path, "slow", `touch '${scratch.path}/started-'$$; sleep 2; echo done`);
    await makeScript(scratch.path, "fast", "echo fast");
    await writeFile(join(scratch.path, "toolruntime.json"), '{ "graceMs": 60000, "concurrency": { "running": 4, "queued": 100 } }');
    const node = await startNode(scratch.path);
    const blocking = Array.from({ length: 4 }, () => post(node.url, { tool: "slow" }));
    await until(() => startedIn(scratch.path) === 4, "four run");
    const accepted = await Promise.all(Array.from({ length: 8 }, () => post(node.url, { tool: "slow" }, { prefer: "respond-async" })));
    expect(accepted.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 202));
    const ids = await Promise.all(accepted.map(async (response) => ((await response.json()) as State).id));
    node.kill("SIGTERM");
    await until(async () => (await fetch(`${node.url}/readyz`)).status === 503, "it drains");
    const refused = await Promise.all(Array.from({ length: 20 }, () => tryOnce(node.url)));
    for (const one of refused)
      expect(one).toEqual({ status: 503, retryAfter: expect.stringMatching(/^\d+$/) as string, code: "ERR_CLOSED" });
    for (const answer of await Promise.all(blocking)) expect(await answer.json()).toMatchObject({ stdout: "done\n" });
    // Whoever was told to come back can still ask, on a connection of his own.
    expect((await stateOf(node.url, ids.at(-1) ?? "")).status).toMatch(/accepted|running/);
    expect((await node.end).code).toBe(0);
    expect(startedIn(scratch.path)).toBe(12);

    const next = await startNode(scratch.path);
    for (const id of ids) expect(await stateOf(next.url, id)).toMatchObject({ status: "ended", result: { stdout: "done\n" } });
    expect(next.shown).not.toContain("had not ended");
    next.kill("SIGTERM");
    expect((await next.end).code).toBe(0);
  });

  test("ends what still runs when the grace is over, and what waits, each with an answer that is kept", async () => {
    await using scratch = await scratchFolder();
    const marker = `8${process.pid}${Date.now() % 100_000}`;
    await makeScript(scratch.path, "slow", `touch '${scratch.path}/started-'$$; exec sleep ${marker}`);
    await writeFile(join(scratch.path, "toolruntime.json"), '{ "graceMs": 300, "concurrency": { "running": 2, "queued": 100 } }');
    const node = await startNode(scratch.path);
    const blocking = post(node.url, { tool: "slow" });
    const accepted = await Promise.all(Array.from({ length: 5 }, () => post(node.url, { tool: "slow" }, { prefer: "respond-async" })));
    const ids = await Promise.all(accepted.map(async (response) => ((await response.json()) as State).id));
    await until(() => startedIn(scratch.path) === 2, "two run");
    node.kill("SIGTERM");
    expect((await blocking).status).toBe(503);
    expect((await node.end).code).toBe(0);
    expect(processesWith(marker)).toEqual([]);
    expect(startedIn(scratch.path)).toBe(2);

    const next = await startNode(scratch.path);
    const states = await Promise.all(ids.map((id) => stateOf(next.url, id)));
    for (const state of states) expect(state).toMatchObject({ status: "ended", problem: { code: "ERR_CLOSED", retryable: true } });
    expect(next.shown).not.toContain("had not ended");
    const lines = auditOf(scratch.path);
    expect(await verifyAudit(lines)).toMatchObject({ ok: true });
    expect(lines.filter((line) => line.includes('"event":"ended"'))).toHaveLength(6);
    next.kill("SIGTERM");
    expect((await next.end).code).toBe(0);
  });
});

describe("toolruntime node", () => {
  test("prints a schema that takes what the service takes", async () => {
    const { code, stdout } = await cli(["node", "--print-schema"]);
    expect(code).toBe(0);
    const validator = new Validator(JSON.parse(stdout) as object, "2020-12");
    for (const [config, isRight] of [
      [{}, true],
      [{ state: { folder: "x", keepMs: 1 }, backends: { docker: {} } }, true],
      [{ prot: 1 }, false],
      [{ backends: { wasm: { maxArtifactBytes: "1" } } }, false],
      [{ state: {} }, false],
    ] as const) {
      expect([config, validator.validate(config).valid]).toEqual([config, isRight]);
      expect([config, succeeds(() => parseConfig(config))]).toEqual([config, isRight]);
    }
  });

  test("prints what its configuration comes to, with defaults and without tokens", async () => {
    await using scratch = await scratchFolder();
    await writeFile(
      join(scratch.path, "toolruntime.json"),
      `{ "name": "file", "tokens": [{ "token": "0123456789abcdef", "principal": "p" }],
         "backends": { "remote": { "nodes": [{ "url": "https://a.example", "token": "abcdef0123456789" }] } }, }`,
    );
    const { code, stdout } = await cli(["node", "--print-config", "--name", "build-7"], { cwd: scratch.path });
    expect(code).toBe(0);
    expect(stdout).not.toMatch(/0123456789abcdef|abcdef0123456789/);
    expect(JSON.parse(stdout)).toMatchObject({
      name: "build-7",
      graceMs: 10_000,
      tokens: [{ principal: "p", tenant: "default" }],
      state: { folder: join(scratch.path, "state"), maxExecutions: 10_000, synchronous: "normal" },
    });
  });

  test.each([
    [
      "a key that there is not",
      '{\n  "backends": {\n    "dokcer": {} }\n}',
      'toolruntime.json:3:5: backends has the unknown key "dokcer"; did you mean "docker"?',
    ],
    ["a wrong value", '{ "state": { "folder": "x",\n    "keepMs": 0 } }', "toolruntime.json:2:5: state.keepMs must be above 0"],
    ["what is no JSON", '{\n  "port" 1\n}', "toolruntime.json:2:10: it is not JSON: a colon is missing"],
  ])("names file, line and key of %s, and ends with 1", async (_what, content, says) => {
    await using scratch = await scratchFolder();
    await writeFile(join(scratch.path, "toolruntime.json"), content);
    const { code, stderr } = await cli(["node"], { cwd: scratch.path });
    expect(stderr).toContain(`ERR_CONFIG_INVALID: Cannot use the configuration: ${says}`);
    expect(code).toBe(1);
  });

  test("takes no wrong name or option", async () => {
    expect(await cli(["node", "--name", "a b"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("name must be 1 to 200 letters"),
    });
    expect(await cli(["node", "--sate", "x"])).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean "--state"') });
  });

  test("starts without a daemon that its configuration names, and says what is missing", async () => {
    await using scratch = await scratchFolder();
    const docker = { socketPath: join(scratch.path, "no.sock"), scratch: "scratch" };
    await writeFile(join(scratch.path, "toolruntime.json"), JSON.stringify({ security: "dev", backends: { wasm: {}, docker } }));
    const child = startCli(["node", "--port", "0", "--tools", scratch.path, "--name", "build-7"], { cwd: scratch.path });
    onTestFinished(() => void child.kill("SIGKILL"));
    const end = ended(child);
    const shown = await seen(child.stdout, "drains it");
    expect(shown).toMatch(/^backend docker: unavailable: .+$/m);
    expect(shown).toMatch(/^backend wasm: ready/m);
    const url = /http:\S+/.exec(shown)?.[0] ?? "";
    const listed = (await (await fetch(`${url}/v1/backends`)).json()) as { backends: readonly object[]; node: object };
    expect(listed.backends).toEqual([
      expect.objectContaining({ backend: "wasm", status: "ready" }),
      expect.objectContaining({ backend: "docker", status: "unavailable", reason: expect.stringContaining("does not answer") as string }),
    ]);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    child.kill("SIGTERM");
    const { code, stderr } = await end;
    expect(code).toBe(0);
    expect(stderr).toContain("cannot look for what an earlier process left");
  });
});

function succeeds(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
