import fc from "fast-check";
import { Choices } from "./choices.ts";
import { detectFeatures } from "./features.ts";
import { generate, type Generated } from "./generate.ts";
import { minimise } from "./minimise.ts";
import type { GeneratorOptions } from "./plan.ts";

export const features = detectFeatures();

/** Gives what is wrong with a module, if anything is. More choices can be made there; they are made smaller with the rest. */
export type Judge = (generated: Generated, choices: Choices) => string | undefined;

export interface Hunt extends GeneratorOptions {
  /** How many modules. */
  readonly count: number;
  /** The same modules again for the same number. */
  readonly seed: number;
}

/** A seed that is another in each run. fast-check prints it when a test fails. */
export function freshSeed(): number {
  return Math.floor(Math.random() * 2 ** 31);
}

/** Makes modules and has each judged. Throws at the first bad one, with the least like it. Gives how many were no modules at all. */
export function hunt({ count, seed, ...options }: Hunt, judge: Judge): { readonly invalid: number } {
  let invalid = 0;
  const attempt = (source: number | readonly number[]): { choices: Choices; generated: Generated; why: string | undefined } => {
    const choices = new Choices(source);
    const generated = generate(choices, options);
    if (WebAssembly.validate(generated.bytes)) return { choices, generated, why: judge(generated, choices) };
    invalid++;
    return { choices, generated, why: undefined };
  };
  const explain = (first: ReturnType<typeof attempt>): string => {
    // A smaller module shall be bad in the same way.
    const kind = first.why?.replaceAll(/\d+/g, "").slice(0, 20);
    const least = attempt(minimise(first.choices.made, (made) => attempt(made).why?.replaceAll(/\d+/g, "").slice(0, 20) === kind));
    const calls = least.generated.calls.map(({ name, values }) => `${name}(${values.join()})`).join("; ");
    return `${first.why}\nThe least module like it: ${least.why}\ncalls: ${calls}\n${Buffer.from(least.generated.bytes).toString("hex")}`;
  };
  fc.assert(
    fc.property(fc.noBias(fc.integer({ min: 0, max: 2 ** 32 - 1 })), (source) => {
      const tried = attempt(source);
      if (tried.why !== undefined) throw new Error(explain(tried));
    }),
    // A smaller seed makes no smaller module.
    { seed, numRuns: count, endOnFailure: true },
  );
  return { invalid };
}
