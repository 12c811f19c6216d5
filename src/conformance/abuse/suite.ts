import { fail } from "../assert.ts";
import type { TestRunner } from "../suite.ts";
import { AbuseBench, type AbuseOptions } from "./bench.ts";
import type { AbuseCase, AbuseFacts } from "./case.ts";
import { noCanary, nothingLeft, stillServes, Victim } from "./oracle.ts";

/** Why a case is not run here, or nothing where it is. */
export function notHeld({ holds, attack }: AbuseCase, facts: AbuseFacts): string | undefined {
  return holds?.(facts) ?? (attack === undefined ? "the attack is not written yet" : undefined);
}

/** What the backend under attack declares. */
export async function findAbuseFacts({ open, profile = "dev", victim, name, setUid }: AbuseOptions): Promise<AbuseFacts> {
  const runtime = await open({ security: profile });
  try {
    const [chosen] = await runtime.explain({ tool: victim });
    const probes = await runtime.probe();
    const capability = probes
      .filter(({ status }) => status === "ready")
      .flatMap(({ capabilities }) => capabilities)
      .find(({ artifact, profiles }) => artifact === chosen?.artifact && profiles.includes(profile));
    return capability === undefined
      ? fail(`Cannot attack ${name}: it takes no victim (${chosen?.reason ?? "not ready"})`)
      : { profile, capability, ...(setUid === undefined ? {} : { setUid }) };
  } finally {
    await runtime.close();
  }
}

/**
 * Runs one attack with a victim beside it, and looks at what it has left.
 *
 * @throws where another outcome came of it, the victim suffered, something is left, or the canary is seen.
 */
export async function runAbuseCase(one: AbuseCase, options: AbuseOptions, facts: AbuseFacts): Promise<void> {
  const bench = new AbuseBench(options, facts);
  const bystander = await options.open({ security: facts.profile });
  try {
    // A first call makes what is kept between runs, so that it does not count as left over.
    await bystander.execute({ tool: options.victim });
    const before = new Set(await options.snapshot());
    const victim = new Victim(bystander, options.victim);
    victim.start();
    try {
      await one.attack?.(bench);
    } finally {
      await bench.close();
    }
    await victim.stop();
    await nothingLeft(options.snapshot, before);
    await stillServes(bystander);
    noCanary(options.canary, bench.seen, "what the caller gets");
    noCanary(options.canary, options.logged?.() ?? "", "the log");
  } finally {
    await bystander.close();
  }
}

/**
 * Registers one test for each case under its id, as skipped where nothing holds it, and reports those in one line. To be
 * awaited at the top of a test file.
 */
export async function abuseSuite({ describe, it }: TestRunner, cases: readonly AbuseCase[], options: AbuseOptions): Promise<void> {
  const facts = await findAbuseFacts(options);
  const open: string[] = [];
  const report = options.report ?? ((text: string) => console.info(text));
  const line = (): string => `Not held by ${options.name} in profile "${facts.profile}": ${open.join(", ")}`;
  describe(`abuse of ${options.name} in profile "${facts.profile}"`, () => {
    for (const one of cases) {
      const reason = notHeld(one, facts);
      if (reason === undefined) it(`${one.id} ${one.title}`, () => runAbuseCase(one, options, facts));
      else {
        open.push(`${one.id} (${reason})`);
        it.skip(`${one.id} ${one.title}: not held, ${reason}`, () => Promise.resolve());
      }
    }
    // Runners show what a test prints, and may drop what is printed before.
    if (open.length > 0) it("the rest is said to be not held", async () => report(line()));
  });
}
