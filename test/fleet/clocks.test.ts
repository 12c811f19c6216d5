import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { requestSigner } from "../../src/adapters/trust/index.ts";
import { createClient } from "../../src/client.ts";
import { keySetOf, makeKey } from "../trust/support.ts";
import { errorOf } from "../unit/support.ts";
import { fromRoot } from "./node-process.ts";
import { fleetToken, isRunning, openFleet, until, type Fleet, type FleetOptions } from "./support.ts";

const tenMinutesMs = 600_000;

/** A node on a machine whose clock is wrong by so many ms. */
function openShifted(shiftMs: number, config: FleetOptions["config"] = {}): Promise<Fleet> {
  return openFleet({ config, preload: fromRoot("test/fleet/shifted-clock.ts"), env: { FLEET_CLOCK_SHIFT_MS: String(shiftMs) } });
}

/** Both at once: most of the time is spent waiting. */
async function openBoth(): Promise<readonly (readonly [Fleet, number])[]> {
  return Promise.all([tenMinutesMs, -tenMinutesMs].map(async (shiftMs) => [await openShifted(shiftMs), shiftMs] as const));
}

describe("G4: nodes whose clocks are wrong by ten minutes", () => {
  it("really have other clocks", async () => {
    for (const [{ nodes }, shiftMs] of await openBoth()) {
      const client = createClient({ url: nodes[0]?.url ?? "", token: fleetToken });
      const { id } = await client.start({ tool: "append", input: { n: 1 } });
      const { createdAt } = await client.execution(id).get();
      expect(Math.abs(Date.parse(createdAt) - Date.now() - shiftMs)).toBeLessThan(60_000);
    }
  });

  it("hold deadlines and timeouts to the time that has passed", async () => {
    for (const [fleet] of await openBoth()) {
      const runtime = fleet.runtime();
      const { output } = await runtime.execute({ tool: fleet.tool("append"), input: { n: 1, ms: 500 } }, { deadline: "20s" });
      expect(output).toEqual({ n: 1 });
      const late = runtime.execute({ tool: fleet.tool("slow"), input: { n: 2 } }, { deadline: 1500 });
      expect(await errorOf(late)).toMatchObject({ code: "ERR_DEADLINE" });
      const limited = { tool: fleet.tool("slow"), input: { n: 3 }, resources: { timeout: 500 } };
      expect(await errorOf(runtime.execute(limited))).toMatchObject({ code: "ERR_LIMIT_TIMEOUT", started: true });
      await until(() => fleet.effects.all().every(({ pid }) => !isRunning(pid)), 5000, "no run is left");
    }
  });

  it("renew leases, and keep idempotency keys", { timeout: 60_000 }, async () => {
    const both = await openBoth();
    // Longer than a lease.
    const runs = both.map(([fleet]) => fleet.runtime().execute({ tool: fleet.tool("append"), input: { n: 1, ms: 11_000 } }));
    for (const [{ nodes, effects }] of both) {
      const answers = [];
      for (let time = 0; time < 3; time++) {
        answers.push(await (await nodes[0]?.post({ tool: "append", input: { n: 2 } }, { "idempotency-key": "once" }))?.json());
      }
      expect(answers[1]).toEqual(answers[0]);
      expect(answers[2]).toEqual(answers[0]);
      expect(effects.of(2)).toHaveLength(1);
    }
    for (const { output } of await Promise.all(runs)) expect(output).toEqual({ n: 1 });
  });

  it("take signed tokens of a clock that differs by 30 s, and of none that differs by more", { timeout: 60_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "toolruntime-keys-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const key = await makeKey("EdDSA", { iss: "edge-1" });
    const trusted = join(folder, "trusted.json");
    await writeFile(trusted, JSON.stringify(keySetOf(key)));
    const config = { keys: { trusted, issuers: [{ name: "edge-1" }], audience: "a" } };
    const signer = requestSigner({ key, subject: "edge", tenant: "fleet", audience: "a", lifetimeS: 1 });
    // A token lives for a second here: what is taken of an older or a younger one is the allowance alone.
    const shifts = [-tenMinutesMs, -45_000, -20_000, 20_000, 45_000, tenMinutesMs];
    const outcomes = await Promise.all(
      shifts.map(async (shiftMs) => {
        const fleet = await openShifted(shiftMs, config);
        const runtime = fleet.runtime({ nodes: [{ url: fleet.nodes[0]?.url ?? "", name: "a", signer }] });
        return runtime.execute({ tool: fleet.tool("append"), input: { n: 1 } }).then(
          ({ output }) => output,
          ({ code }: { readonly code: string }) => [code, fleet.effects.all().length],
        );
      }),
    );
    const [refused, taken] = [["ERR_BACKEND_UNAVAILABLE", 0], { n: 1 }];
    expect(outcomes).toEqual([refused, refused, taken, taken, refused, refused]);
  });
});
