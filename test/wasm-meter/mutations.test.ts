import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Choices } from "./choices.ts";
import { generate } from "./generate.ts";
import { features, freshSeed } from "./hunt.ts";
import { ingestAny, runAny } from "./ingesting.ts";
import { mutate, mutateValid } from "./mutations.ts";

/** A hundred thousand of these are `npm run soak -- modules`. */
const count = 400;

const folder = new URL("../wasi/guests/", import.meta.url);
const guests = readdirSync(folder)
  .filter((name) => name.endsWith(".wasm"))
  .map((name) => new Uint8Array(readFileSync(new URL(name, folder))));

test("mutants of generated modules and of guests are taken, or refused with a reason", async () => {
  const first = freshSeed();
  const tally: Record<string, number> = {};
  for (let seed = first; seed < first + count; seed++) {
    const choices = new Choices(seed);
    const generated = generate(choices, { features, ends: "maybe never", nans: "any" });
    const isGuest = guests.length > 0 && choices.once(10);
    const bytes = isGuest ? mutate(choices.pick(guests), choices, generated.bytes) : mutate(generated.bytes, choices, choices.pick(guests));
    const { outcome, wrong } = await ingestAny(bytes, choices);
    tally[outcome] = (tally[outcome] ?? 0) + 1;
    expect(`seed ${seed}: ${wrong}`).toBe(`seed ${seed}: undefined`);
    const valid = mutateValid(generated.bytes, choices, 3);
    if (valid !== undefined) expect(`seed ${seed}: ${runAny(valid, generated)}`).toBe(`seed ${seed}: undefined`);
  }
  expect(tally["taken"]).toBeGreaterThan(count / 20);
  expect(Object.keys(tally).length).toBeGreaterThan(1);
});
