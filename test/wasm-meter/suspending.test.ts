import { expect, test } from "vitest";
import { fuelDifference, meter } from "./checks.ts";
import { Choices } from "./choices.ts";
import { mostGrant, runFueled, runSuspended } from "./fueled.ts";
import { generate } from "./generate.ts";
import { features, freshSeed } from "./hunt.ts";
import type { Promising } from "./running.ts";

/** Where the guest's stack waits at each checkpoint, nothing is otherwise than where it does not. */
const count = 150;

interface Jspi {
  readonly Suspending: new (host: () => Promise<number>) => WebAssembly.ImportValue;
  readonly promising: Promising;
}

function isJspi(api: object): api is Jspi {
  return "Suspending" in api && "promising" in api;
}

const api: object = WebAssembly;

test.runIf(isJspi(api))("a guest that waits at its checkpoints does what it does without", async () => {
  if (!isJspi(api)) return;
  const jspi = { suspending: (host: () => Promise<number>) => new api.Suspending(host), promising: api.promising };
  const first = freshSeed();
  let checkpoints = 0;
  for (let seed = first; seed < first + count; seed++) {
    const generated = generate(new Choices(seed), { features, ends: "counted", nans: "canonical" });
    // A stack cannot wait where the start section, or a frame of JavaScript's, is on it.
    if (generated.plan.hasStart || generated.plan.functions.some(({ host }) => host === "reenter")) continue;
    const metered = meter(generated, { initialFuel: 5 });
    const whole = runFueled(metered, () => mostGrant);
    const size = Math.ceil(whole.used / 50) + 1;
    const waited = await runSuspended(metered, () => size, jspi);
    checkpoints += waited.checkpoints;
    if (whole.isExhausted || waited.isExhausted) continue;
    expect(`seed ${seed}: ${fuelDifference(whole, waited)}`).toBe(`seed ${seed}: undefined`);
    const cut = await runSuspended(metered, (at) => (at < 3 ? size : -1), jspi);
    expect(cut.late).toBe(0);
    if (cut.isDenied) expect(cut.events.at(-1)).toMatch(/RuntimeError: unreachable$/);
  }
  expect(checkpoints).toBeGreaterThan(count);
});
