import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { unsafe } from "../../src/backends/unsafe/index.ts";
import { findAbuseFacts, nativeCases, runAbuseCase, type AbuseOptions } from "../../src/conformance/abuse/index.ts";
import { attackMark, commandAttacker, commandVictim, linuxSnapshot } from "../../src/conformance/abuse/native/node.ts";
import { createRuntime, type Backend } from "../../src/index.ts";
import { processesWith } from "../unsafe/support.ts";
import { naive } from "./naive-backend.ts";

const canary = `canary-${crypto.randomUUID()}`;
process.env["TOOLRUNTIME_ABUSE_CANARY"] = canary;
const scratch = mkdtempSync(join(tmpdir(), "toolruntime-abuse-"));
const leakedFd = openSync("/dev/null", "r");
const real = unsafe({ acceptUnsafe: true, scratch, warn: () => undefined });

afterAll(async () => {
  for (const line of processesWith(attackMark)) process.kill(Number(line.split(" ")[0]), "SIGKILL");
  await real.close();
  closeSync(leakedFd);
  rmSync(scratch, { recursive: true });
});

const victim = await commandVictim();

function target(backend: Backend, change: Partial<AbuseOptions> = {}): AbuseOptions {
  return {
    name: backend.name,
    open: (options) => createRuntime({ ...options, backend }),
    attacker: commandAttacker,
    victim,
    snapshot: linuxSnapshot({ scratch }),
    canary,
    ...change,
  };
}

async function verdict(id: string, options: AbuseOptions): Promise<string> {
  const one = nativeCases.find((candidate) => candidate.id === id);
  if (one === undefined) throw new Error(`there is no case ${id}`);
  return runAbuseCase(one, options, await findAbuseFacts(options)).then(
    () => "held",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

describe("the corpus, against a backend that is wrong", () => {
  // What a run leaves is noticed in every case; these look at more than that, so they look away from the folders.
  const wrong = target(naive({ scratch, leakedFd }), { snapshot: async () => [] });

  it.each([
    ["B13", /canary/],
    ["D4", /the environment of process/],
    ["D10", /descriptor 3/],
  ])("%s finds it", async (id, reason) => {
    expect(await verdict(id, wrong)).toMatch(reason);
  });

  it("A10 finds the processes that it leaves", async () => {
    const processes = async (): Promise<string[]> => processesWith(attackMark).map((line) => `process ${line.split(" ")[0]}`);
    expect(await verdict("A10", { ...wrong, snapshot: processes })).toMatch(/things are left .* process/);
  });

  it("A5 finds the folder that it leaves", async () => {
    expect(await verdict("A5", target(naive({ scratch, leakedFd })))).toMatch(/things are left .* file .*kept/);
  });
});

/** The right backend, with one thing of its runs changed. */
function changed(run: Backend["run"]): Backend {
  return {
    name: "changed",
    probe: () => real.probe(),
    prepare: (plan, signal) => real.prepare(plan, signal),
    run,
    leftovers: () => real.leftovers(),
    reap: () => real.reap(),
    close: async () => undefined,
  };
}

describe("the corpus, against a backend that", () => {
  it("gives the tool more memory than the plan says", async () => {
    const backend = changed((plan, io) => {
      const limits = plan.limits.map((one) => (one.limit === "memory" ? { ...one, value: 2 ** 30 } : one));
      return real.run({ ...plan, limits }, io);
    });
    expect(await verdict("D2", target(backend))).toMatch(/expected ERR_LIMIT_MEMORY/);
  });

  it("drops the timeout", async () => {
    const late = new AbortController();
    const runs: Promise<unknown>[] = [];
    const backend = changed((plan, io) => {
      const { id, stdin, files, env, maxOutputFiles, file } = io;
      const started = (): void => io.started();
      const [stdout, stderr] = [() => undefined, () => undefined];
      const running = real.run(plan, { id, stdin, files, env, maxOutputFiles, file, signal: late.signal, started, stdout, stderr });
      runs.push(running);
      return running;
    });
    const wrong = { ...target(backend), open: () => createRuntime({ backend, security: "dev" }) };
    expect(await verdict("A6", wrong)).toMatch(/did not settle/);
    late.abort();
    await Promise.allSettled(runs);
  });

  it("loses the first bytes of the output", async () => {
    const backend = changed((plan, io) => {
      let isFirst = true;
      const stdout = (bytes: Uint8Array): void | Promise<void> => {
        const part = isFirst ? bytes.subarray(1) : bytes;
        isFirst = false;
        return io.stdout(part);
      };
      const { id, stdin, files, env, maxOutputFiles, file, signal } = io;
      const started = (): void => io.started();
      const stderr = (bytes: Uint8Array): void | Promise<void> => io.stderr(bytes);
      return real.run(plan, { id, stdin, files, env, maxOutputFiles, file, signal, started, stdout, stderr });
    });
    for (const id of ["C1", "C2"]) expect(await verdict(id, target(backend))).not.toBe("held");
  });

  it("makes others wait while one runs", async () => {
    let turn = Promise.resolve();
    const backend = changed((plan, io) => {
      const mine = turn.then(() => real.run(plan, io));
      turn = mine.then(
        () => undefined,
        () => undefined,
      );
      return mine;
    });
    expect(await verdict("A6", target(backend))).toMatch(/well-behaved call suffered: it took/);
  });
});
