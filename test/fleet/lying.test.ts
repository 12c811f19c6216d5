import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { toToolRuntimeError } from "../../src/errors.ts";
import { fleetToken, openFleet, until } from "./support.ts";

const runs = 40;
/** A node that lies may be met so often: until it is taken out, and where it is tried again after a while. */
const mostMet = 10;

/** Starts a node that lies in front of a real one. */
async function openLiar(upstream: string, lie: string): Promise<{ readonly url: string; met(): Promise<number> }> {
  const file = fileURLToPath(new URL("liar.ts", import.meta.url));
  const child = spawn(process.execPath, [file, upstream, lie], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [line]: unknown[] = await once(child.stdout, "data");
  const url = String(line).trim();
  return { url, met: async () => Number(await (await fetch(`${url}/met`)).text()) };
}

describe("G3: a node that lies", () => {
  it.for([
    ["a gigabyte of result", ["ERR_ANSWER_INVALID"]],
    ["a gigabyte of output", ["ERR_LIMIT_OUTPUT"]],
    ["another run's id", ["ERR_ANSWER_INVALID"]],
    ["broken JSON", ["ERR_ANSWER_INVALID"]],
    // Whichever of the two is believed, it is no result.
    ["a result after an error", ["ERR_BACKEND_FAILED", "ERR_ANSWER_INVALID"]],
  ] as const)("with %s is found out, costs no memory, and is taken out", { timeout: 90_000 }, async ([lie, codes]) => {
    const fleet = await openFleet({ nodes: 2 });
    const liar = await openLiar(fleet.nodes[0]?.url ?? "", lie);
    const nodes = [
      { url: liar.url, name: "liar", token: fleetToken },
      { url: fleet.nodes[1]?.url ?? "", name: "b", token: fleetToken },
    ];
    const runtime = fleet.runtime({ nodes });
    const before = process.memoryUsage.rss();
    let most = 0;
    const failures: unknown[] = [];
    for (let n = 0; n < runs; n++) {
      const task = { tool: fleet.tool("append"), input: { n }, resources: { output: 100_000 } };
      try {
        const { output, backend } = await runtime.execute(task);
        expect([output, backend.via]).toEqual([{ n }, "b"]);
      } catch (cause) {
        const { code, started, details } = toToolRuntimeError(cause);
        // The limit is the caller's own, whoever broke it.
        const via = code === "ERR_LIMIT_OUTPUT" ? "liar" : details["via"];
        failures.push({ isCode: codes.some((one) => one === code) || code, started, via });
      }
      most = Math.max(most, process.memoryUsage.rss() - before);
    }
    expect(failures).toEqual(failures.map(() => ({ isCode: true, started: true, via: "liar" })));
    // It claims to be idle: had it never been asked, nothing would be shown.
    expect(failures.length).toBeGreaterThan(0);
    expect(await liar.met()).toBeLessThanOrEqual(mostMet);
    expect(most / 2 ** 20).toBeLessThan(256);
    expect(Math.max(...fleet.effects.counts().values())).toBe(1);
    await until(() => fleet.effects.all().length === runs, 5000, "each run has had its effect, on whichever node");
  });
});
