import { BinaryError, meterModule, type MeteredModule, type MeterOptions } from "../../src/wasm/meter/index.ts";
import { mostCredit } from "./body.ts";
import type { Choices } from "./choices.ts";
import { mostGrant, runFueled, type Book, type FueledRun, type Metered } from "./fueled.ts";
import type { Generated } from "./generate.ts";
import { run, type Run } from "./running.ts";

/** The ways to meter a module, one of which is chosen for each. */
export function pickOptions(choices: Choices): MeterOptions & { readonly initialFuel: number } {
  return {
    memory: choices.pick(["keep", "import"] as const),
    start: choices.pick(["keep", "export"] as const),
    names: choices.pick(["drop", "keep"] as const),
    initialFuel: choices.pick([0, 1000, 2 ** 20]),
  };
}

export function meter(generated: Generated, options: MeterOptions & { readonly initialFuel: number }): Metered {
  const rewritten = rewrite(generated.bytes, options);
  return { module: new WebAssembly.Module(rewritten.bytes), generated, rewritten, initialFuel: options.initialFuel };
}

function rewrite(bytes: Uint8Array, options: MeterOptions): MeteredModule {
  try {
    return meterModule(bytes, options);
  } catch (error) {
    throw error instanceof BinaryError ? new Error(`refused: it ${error.message}`, { cause: error }) : error;
  }
}

/** What sets two runs apart, in a line; nothing where they are the same. */
export function difference(expected: Run, actual: Run): string | undefined {
  const lists = [
    ["event", expected.events, actual.events],
    ["global", expected.globals, actual.globals],
  ] as const;
  for (const [what, before, after] of lists) {
    for (let index = 0; index < Math.max(before.length, after.length); index++) {
      if (before[index] !== after[index]) return `${what} ${index} is ${after[index]} in place of ${before[index]}`;
    }
  }
  return differentMemory(expected.memory, actual.memory);
}

function differentMemory(before: Uint8Array | undefined, after: Uint8Array | undefined): string | undefined {
  if (before === undefined || after === undefined || Buffer.compare(before, after) === 0) return undefined;
  if (before.length !== after.length) return `memory has ${after.length} bytes in place of ${before.length}`;
  const at = before.findIndex((byte, index) => byte !== after[index]);
  return `memory at ${at} is ${after[at]} in place of ${before[at]}`;
}

/** What sets two runs of one rewritten module apart that differ only in their grants. */
export function fuelDifference(expected: FueledRun, actual: FueledRun): string | undefined {
  const at = expected.usedAt.findIndex((used, index) => used !== actual.usedAt[index]);
  if (at !== -1) return `fuel at look ${at} is ${actual.usedAt[at]} in place of ${expected.usedAt[at]}`;
  if (expected.used !== actual.used) return `fuel is ${actual.used} in place of ${expected.used}`;
  return difference(expected, actual);
}

/** More units than these take too long in grants of one. */
const mostSingly = 50_000;
export type Verdict =
  | { readonly kind: "good"; readonly used: number }
  | { readonly kind: "skipped" }
  | { readonly kind: "bad"; readonly why: string };

/** One in so many modules is run in all the ways there are, not only once as it is and once metered. */
const oftenWhole = 5;

/** Runs a module as it is and metered, and compares. */
export function check(generated: Generated, choices: Choices, more: MeterOptions = {}): Verdict {
  const options = { ...pickOptions(choices), ...more };
  const bad = (why: string): Verdict => ({ kind: "bad", why: `${why}, with ${JSON.stringify(options)}` });
  let metered: Metered;
  try {
    metered = meter(generated, options);
  } catch (error) {
    return bad(`${error}`);
  }
  const original = run(new WebAssembly.Module(generated.bytes), generated);
  const whole = runFueled(metered, () => mostGrant);
  const isOutOfStack = whole.books.some(({ depth = 0 }) => depth < 0);
  if (original.isExhausted || whole.isExhausted || isOutOfStack) return { kind: "skipped" };
  const differs = difference(original, whole);
  if (differs !== undefined) return bad(`metered: ${differs}`);
  const outside = outOfBounds(whole, generated);
  if (outside !== undefined) return bad(outside);
  if (choices.mostly(oftenWhole)) return { kind: "good", used: whole.used };
  const why = sliced(metered, whole, choices) ?? limited(metered, whole, choices) ?? taken(metered, whole, choices);
  return why === undefined ? { kind: "good", used: whole.used } : bad(why);
}

/** The module counted in one global the cost of what it executed, in another that of all that it entered: the charge for a call lies between. */
function outOfBounds({ books, events }: FueledRun, { plan }: Generated): string | undefined {
  // What a trap or an exception cut off may have been paid for.
  const slack = mostCredit * events.filter((event) => event.includes("threw") || event.startsWith("f")).length;
  let before: Book = { used: 0, work: 0, most: 0, depth: books[0]?.depth, hasReturned: true };
  for (const [index, after] of books.entries()) {
    const [used, work, most] = [after.used - before.used, after.work - before.work, after.most - before.most];
    if (used < work) return `fuel of call ${index} is ${used}, less than the ${work} of what was executed`;
    if (plan.isBounded && used > most + slack) return `fuel of call ${index} is ${used}, more than the ${most} of all that was entered`;
    if (after.hasReturned && after.depth !== before.depth) return `call ${index} leaves ${after.depth} bytes of ${before.depth} of stack`;
    before = after;
  }
  return undefined;
}

/** Slices of any size change nothing. */
function sliced(metered: Metered, whole: FueledRun, choices: Choices): string | undefined {
  // Where no instance could be made, what was used is not known.
  const least = whole.instance === undefined ? 4096 : Math.max(1, Math.ceil(whole.used / mostSingly));
  for (const size of [mostGrant, 1000 + least, least]) {
    const differs = fuelDifference(
      whole,
      runFueled(metered, () => size),
    );
    if (differs !== undefined) return `slices of ${size}: ${differs}`;
  }
  const sizes = [1, 2, 100, 4095, 4096, 50_000].map((size) => Math.max(size, least));
  const offset = choices.below(6);
  const differs = fuelDifference(
    whole,
    runFueled(metered, (count) => sizes[(count + offset) % sizes.length] ?? 1),
  );
  return differs === undefined ? undefined : `slices of many sizes: ${differs}`;
}

const end = "RuntimeError: unreachable";

/** Whether a run is the beginning of another, and then ended in `unreachable`, which nothing caught. */
function isCutOff(whole: Run, cut: FueledRun): string | undefined {
  const last = cut.events.at(-1);
  if (last?.endsWith(end) !== true) return `ends with ${last}`;
  if (cut.late > 0) return `came to ${cut.late} more checkpoints`;
  const at = cut.events.slice(0, -1).findIndex((event, index) => event !== whole.events[index]);
  return at === -1 ? undefined : `event ${at} is ${cut.events[at]} in place of ${whole.events[at]}`;
}

/** A limit below what is needed ends the run, wherever it is; one that suffices does not. */
function limited(metered: Metered, whole: FueledRun, choices: Choices): string | undefined {
  if (whole.instance === undefined) return undefined;
  // Grants so small that the guest never has more than it is about to use show what it needs at most.
  const least = Math.max(1, Math.ceil(whole.used / mostSingly));
  const needed = runFueled(metered, () => least).granted;
  const { initialFuel } = metered;
  // In pieces, since a grant has a greatest size.
  const suffices = runFueled(metered, (count) => Math.min(mostGrant, needed - initialFuel - count * mostGrant) || -1);
  const differs = fuelDifference(whole, suffices);
  if (differs !== undefined) return `with ${needed} units, which are enough: ${differs}`;
  if (needed <= initialFuel + least) return undefined;
  const room = Math.min(mostGrant, needed - initialFuel - least);
  for (const limit of new Set([room, choices.below(room) + 1, 1])) {
    const cut = runFueled(metered, (count) => (count === 0 ? limit : -1));
    const wrong = isCutOff(whole, cut);
    if (wrong !== undefined) return `with ${limit + initialFuel} units of ${needed}: ${wrong}`;
  }
  return denied(metered, whole, choices, Math.max(1, Math.ceil(room / 12)));
}

/** An end at any checkpoint is the end. */
function denied(metered: Metered, whole: FueledRun, choices: Choices, size: number): string | undefined {
  const { checkpoints } = runFueled(metered, () => size);
  if (checkpoints === 0) return undefined;
  const at = choices.below(checkpoints);
  const wrong = isCutOff(
    whole,
    runFueled(metered, (count) => (count === at ? -1 : size)),
  );
  return wrong === undefined ? undefined : `ended at checkpoint ${at} of ${checkpoints}: ${wrong}`;
}

/** Where the host takes all fuel away while it is called, the guest asks for more before it comes to the host again. */
function taken(metered: Metered, whole: FueledRun, choices: Choices): string | undefined {
  const calls = whole.events.filter((event) => event.startsWith("f")).length;
  if (calls === 0 || whole.instance === undefined) return undefined;
  const at = choices.below(calls);
  const run = runFueled(metered, () => mostGrant, at);
  if (run.hasSlipped) return `fuel taken in host call ${at} of ${calls}: the guest went on to ${run.events.at(-1)}`;
  return run.isDenied ? isCutOff(whole, run) : undefined;
}
