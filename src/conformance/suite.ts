import { profiles } from "../profile.ts";
import { check, fail, within } from "./assert.ts";
import { Bench, type ConformanceOptions } from "./bench.ts";
import type { ConformanceCase, Facts } from "./case.ts";
import { conformanceCases } from "./cases/index.ts";

/** What the suite uses of a test runner: vitest, node:test, bun:test and mocha all have it. */
export interface TestRunner {
  describe(name: string, body: () => void): unknown;
  readonly it: TestFunction & { readonly skip: TestFunction };
}

type TestFunction = (name: string, body: () => Promise<void>) => unknown;

/** What became of one case. */
export type Verdict =
  | { readonly id: string; readonly outcome: "passed" }
  | { readonly id: string; readonly outcome: "failed"; readonly error: Error }
  | { readonly id: string; readonly outcome: "skipped"; readonly reason: string };

export interface VerdictOptions {
  /** Only the cases with these ids. Default: all. */
  readonly only?: readonly string[];
  /** How many cases at once. Default 1. */
  readonly concurrency?: number;
}

/** A case that takes longer has failed: something in it never settles. */
const caseTimeoutMs = 25_000;

/**
 * Registers one test for each case, those that the backend does not declare to hold as skipped with the reason in their
 * name. Which ones apply follows from what `runtime.probe()` declares, so that a backend cannot leave one out by itself.
 * To be awaited at the top of a test file.
 *
 * @throws Where the backend is not ready or takes none of the guests.
 */
export async function conformanceSuite({ describe, it }: TestRunner, options: ConformanceOptions): Promise<void> {
  const facts = await findFacts(options);
  describe(`conformance of ${options.name} in profile "${facts.profile}" with ${facts.capability.artifact}`, () => {
    for (const one of conformanceCases) {
      const reason = one.requires?.(facts);
      if (reason === undefined) it(`${one.id}: ${one.title}`, () => runCase(one, options, facts));
      else it.skip(`${one.id}: skipped, ${reason}`, () => Promise.resolve());
    }
  });
}

/** Runs cases without a test runner. Never rejects for a case that fails. */
export async function runConformance(options: ConformanceOptions, { only, concurrency = 1 }: VerdictOptions = {}): Promise<Verdict[]> {
  const facts = await findFacts(options);
  const unknown = only?.filter((id) => conformanceCases.every((one) => one.id !== id)) ?? [];
  check(unknown.length === 0, `there are no cases ${unknown.join(", ")}`);
  const chosen = conformanceCases.filter(({ id }) => only?.includes(id) ?? true);
  const verdicts = new Map<string, Verdict>();
  const queue = chosen.values();
  const work = async (): Promise<void> => {
    for (const one of queue) verdicts.set(one.id, await judge(one, options, facts));
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return chosen.flatMap(({ id }) => verdicts.get(id) ?? []);
}

async function judge(one: ConformanceCase, options: ConformanceOptions, facts: Facts): Promise<Verdict> {
  const { id } = one;
  const reason = one.requires?.(facts);
  if (reason !== undefined) return { id, outcome: "skipped", reason };
  try {
    await runCase(one, options, facts);
    return { id, outcome: "passed" };
  } catch (error) {
    return { id, outcome: "failed", error: error instanceof Error ? error : new Error(String(error)) };
  }
}

async function runCase(one: ConformanceCase, options: ConformanceOptions, facts: Facts): Promise<void> {
  const bench = new Bench(options, facts);
  try {
    await within(caseTimeoutMs, one.id, one.run(bench));
  } finally {
    // A runtime that does not close must not take the other cases with it; that it does close is a case of its own.
    await within(bench.promptMs, "close", bench.close()).catch(() => undefined);
  }
}

/** Asks the backend what it can do with the guests that there are. */
async function findFacts(options: ConformanceOptions): Promise<Facts> {
  const profile = options.profile ?? "dev";
  const runtime = await options.open({ security: profile });
  try {
    const probes = await runtime.probe();
    const ready = probes.filter(({ status }) => status === "ready");
    const capability = ready
      .flatMap(({ capabilities }) => capabilities)
      .find(
        (one) => one.profiles.includes(profile) && profiles[profile].isolation.includes(one.isolation) && hasGuest(options, one.artifact),
      );
    if (capability === undefined) {
      const why = probes.map(({ backend, status, reason }) => `${backend} is ${status}${reason === undefined ? "" : `: ${reason}`}`);
      return fail(`Cannot test ${options.name} in profile "${profile}": no backend takes a guest that was given (${why.join("; ")})`);
    }
    const artifacts = ready.flatMap(({ capabilities }) => capabilities.map(({ artifact }) => artifact));
    return { capability, artifacts, profile, hasCanary: options.canary !== undefined, hasTrace: options.trace !== undefined };
  } finally {
    await runtime.close();
  }
}

function hasGuest({ guests }: ConformanceOptions, artifact: string): boolean {
  return (["wasm", "command", "image"] as const).some((kind) => kind === artifact && guests[kind] !== undefined);
}
