import { Body, type BodyOptions } from "./body.ts";
import type { Choices } from "./choices.ts";
import { countedLoop } from "./counted-loops.ts";
import type { FunctionType, ValueType } from "./encoding.ts";
import { grammar } from "./grammar.ts";
import { flowGrammar, leafGrammar, loopGrammar } from "./narrow-grammars.ts";
import { makePlan, type GeneratorOptions, type Plan } from "./plan.ts";
import { writeModule, type Code } from "./sections.ts";

export interface GeneratedCall {
  readonly name: string;
  readonly values: readonly (number | bigint)[];
}

export interface Generated {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly plan: Plan;
  /** What the host shall call, one after the other, with the bits of floats and vectors as integers. */
  readonly calls: readonly GeneratedCall[];
}

/** The parts that a function may have. Small ones are charged otherwise than large ones. */
const sizesOfModules = [
  [4, 8, 12],
  [6, 12, 20, 30],
  [10, 30, 60],
  [20, 80, 150],
] as const;

const sizesOfFlow = [6, 12, 20, 40] as const;

/** Makes one module. The same choices make the same. */
export function generate(choices: Choices, options: GeneratorOptions): Generated {
  const plan = makePlan(choices, options);
  const own = plan.functions.filter(({ host }) => host === undefined);
  const sizes = choices.pick(sizesOfModules);
  const imported = plan.functions.length - own.length;
  const codes = own.map((type, index) => {
    if (options.subject === "loops") return writeLoops(plan, type);
    if (options.subject === "calls")
      return writeBody(plan, { type, index: imported + index, grammar: flowGrammar, budget: choices.pick(sizesOfFlow) });
    if (type.isLeaf) return writeLeaf(plan, type, imported + index);
    return writeBody(plan, { type, index: imported + index, grammar, budget: choices.pick(sizes) });
  });
  const wrappers = own.map((type, index) => wrap(plan, type, imported + index));
  const calls = wrappers.flatMap(({ type }, index) =>
    Array.from({ length: options.subject === undefined ? choices.between(1, 3) : 8 }, () => ({
      name: `call${index}`,
      values: argumentsFor(choices, type),
    })),
  );
  return { bytes: writeModule(plan, codes, wrappers), plan, calls };
}

const argumentValues = [0, 1, 2, 3, 5, 8, 100, 1000, -1, -2, 0x7fffffff, -0x80000000, 0x7fc00001, 0x3f800000];

function argumentsFor(choices: Choices, { params }: FunctionType): (number | bigint)[] {
  return params.map((type) => {
    const value = choices.once(3) ? choices.below(2 ** 32) : choices.pick(argumentValues);
    return type === "i64" ? BigInt(value) << BigInt(choices.pick([0, 32])) : value;
  });
}

function writeBody(plan: Plan, options: BodyOptions): Code {
  const { type } = options;
  const isEmpty = type.results.length === 0 && plan.choices.once(10);
  const body = new Body(plan, options);
  body.region(() => {
    if (isEmpty) return;
    if (!plan.isAcyclic) body.countDown(() => body.leave());
    if (plan.choices.once(10)) ownLocal(body);
    body.sequence(type.results, plan.choices.below(8));
  });
  body.op(0x0b);
  return { type, locals: body.locals.slice(type.params.length), code: body.code };
}

function writeLoops(plan: Plan, type: FunctionType): Code {
  const body = new Body(plan, { type, index: 0, grammar: loopGrammar, budget: plan.choices.pick([6, 12, 25]) });
  body.region(() => {
    body.countDown(() => body.leave());
    if (plan.choices.once(3)) body.statement();
    countedLoop(body);
    body.sequence(type.results, plan.choices.below(3));
  });
  body.op(0x0b);
  return { type, locals: body.locals.slice(type.params.length), code: body.code };
}

function writeLeaf(plan: Plan, type: FunctionType, index: number): Code {
  const body = new Body(plan, { type, index, grammar: leafGrammar(index), budget: plan.choices.pick([3, 6, 12]) });
  body.region(() => body.sequence(type.results, plan.choices.below(3)));
  body.op(0x0b);
  return { type, locals: body.locals.slice(type.params.length), code: body.code };
}

/** A local that has no value of its own to begin with, set where the function begins and read later. */
function ownLocal(body: Body): void {
  const { plan } = body;
  if (!plan.options.features.functionReferences) return;
  const index = plan.choices.below(plan.functions.length);
  const type: ValueType = `own ${plan.functions[index]?.typeIndex ?? 0}`;
  const local = body.freshLocal(type);
  plan.referenced.add(index);
  body.at(0xd2, index).at(0x21, local);
  body.statement();
  body.frame("block", { params: [], results: [] }, () => body.at(0x20, local).op(0x1a));
}

const asInteger: Partial<Record<ValueType, readonly ValueType[]>> = {
  i32: ["i32"],
  i64: ["i64"],
  f32: ["i32"],
  f64: ["i64"],
  v128: ["i64", "i64"],
  funcref: ["i32"],
  externref: ["i32"],
};

/** A function around another, so that the host sees the bits of each float, both halves of each vector, and which references are null. */
function wrap(plan: Plan, type: FunctionType, index: number): Code {
  const flat = (types: readonly ValueType[]): ValueType[] => types.flatMap((one) => asInteger[one] ?? []);
  const wrapped = { params: flat(type.params), results: flat(type.results) };
  const body = new Body(plan, { type: wrapped, grammar, budget: 0 });
  body.region(() => wrapCall(body, type, index));
  body.op(0x0b);
  return { type: wrapped, locals: body.locals.slice(wrapped.params.length), code: body.code };
}

function wrapCall(body: Body, type: FunctionType, index: number): void {
  let param = 0;
  for (const one of type.params) {
    body.at(0x20, param++);
    if (one === "f32") body.op(0xbe);
    else if (one === "f64") body.op(0xbf);
    else if (one === "v128") body.op(0xfd, 18).at(0x20, param++).op(0xfd, 30, 1);
    else if (one === "funcref" || one === "externref") {
      body.op(0x1a);
      body.null(one);
    }
  }
  body.at(0x10, index);
  const kept = type.results.map((one) => body.freshLocal(one));
  for (const local of kept.toReversed()) body.at(0x21, local);
  for (const [at, local] of kept.entries()) {
    const one = type.results[at];
    body.at(0x20, local);
    if (one === "f32") body.op(0xbc);
    else if (one === "f64") body.op(0xbd);
    else if (one === "v128") body.op(0xfd, 29, 0).at(0x20, local).op(0xfd, 29, 1);
    else if (one === "funcref" || one === "externref") body.op(0xd1);
  }
}
