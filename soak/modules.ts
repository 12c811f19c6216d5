import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { check } from "../test/wasm-meter/checks.ts";
import { Choices } from "../test/wasm-meter/choices.ts";
import { detectFeatures } from "../test/wasm-meter/features.ts";
import { generate } from "../test/wasm-meter/generate.ts";
import { ingestAny, processorMs, runAny } from "../test/wasm-meter/ingesting.ts";
import { mutate, mutateValid } from "../test/wasm-meter/mutations.ts";

export interface ModulesReport {
  readonly modules: number;
  readonly seed: number;
  readonly seconds: number;
  /** By what became of them. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Real modules that were mutated, and the processor time that the slowest mutant took. */
  readonly realModules: number;
  readonly slowestMs: number;
  /** What must not have been, by the seed of the module. */
  readonly wrong: readonly string[];
}

const small = 64 * 1024;
const medium = 512 * 1024;
const mostWrong = 20;

/** Generated and mutated modules through ingest and the rewriter: each is taken or refused with a reason, and soon. */
export async function soakModules(count: number, seed: number, onProgress: (done: number, next: number) => void): Promise<ModulesReport> {
  const startedAt = performance.now();
  const features = detectFeatures();
  const real = realModules();
  const outcomes: Record<string, number> = {};
  const wrong: string[] = [];
  let slowestMs = 0;
  for (let done = 0; done < count && wrong.length < mostWrong; done++) {
    if (done % 1000 === 0) onProgress(done, seed + done);
    const before = processorMs();
    const choices = new Choices(seed + done);
    const one = await soakOne(choices, real, features);
    slowestMs = Math.max(slowestMs, processorMs() - before);
    const outcome = `${one.source}: ${one.outcome}`;
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    if (one.wrong !== undefined) wrong.push(`seed ${seed + done}, ${one.source}: ${one.wrong}`);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  return { modules: count, seed, seconds, outcomes: sorted(outcomes), realModules: real.length, slowestMs, wrong };
}

interface One {
  readonly source: string;
  readonly outcome: string;
  readonly wrong?: string | undefined;
}

async function soakOne(choices: Choices, real: readonly Uint8Array[], features: ReturnType<typeof detectFeatures>): Promise<One> {
  const kind = choices.below(200);
  const options = { features, nans: "canonical", ...choices.pick([{}, {}, { subject: "loops" }, { subject: "calls" }]) } as const;
  if (kind < 60) {
    // As it is: what it does metered is what it does unmetered.
    const generated = generate(choices, { ...options, ends: "counted" });
    const verdict = check(generated, choices);
    return { source: "generated", outcome: verdict.kind, wrong: verdict.kind === "bad" ? verdict.why : undefined };
  }
  const generated = generate(choices, { ...options, ends: "maybe never" });
  if (kind < 100) {
    const valid = mutateValid(generated.bytes, choices, 8);
    if (valid === undefined) return { source: "valid mutant", outcome: "none found" };
    const ingested = await ingestAny(valid, choices);
    return { source: "valid mutant", ...ingested, wrong: ingested.wrong ?? runAny(valid, generated) };
  }
  const from = real.filter(({ length }) =>
    kind < 190 ? length <= small : kind < 199 ? length > small && length <= medium : length > medium,
  );
  const isReal = kind >= 150 && from.length > 0;
  const bytes = mutate(isReal ? choices.pick(from) : generated.bytes, choices, generated.bytes);
  return { source: isReal ? "mutant of a real module" : "mutant", ...(await ingestAny(bytes, choices)) };
}

/** The repository's guests and tools, and what lies in its dependencies. */
function realModules(): Uint8Array[] {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const files = globSync(["examples/tools/*/*.wasm", "test/**/*.wasm", "src/**/*.wasm", "bench/**/*.wasm", "node_modules/**/*.wasm"], {
    cwd: root,
  });
  return files.map((file) => new Uint8Array(readFileSync(`${root}/${file}`)));
}

function sorted(outcomes: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(outcomes).toSorted(([, a], [, b]) => b - a));
}
