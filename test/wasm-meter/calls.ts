import { isSame, type Body } from "./body.ts";
import type { FunctionType, ValueType } from "./encoding.ts";
import { tableIndex } from "./references.ts";

/** Calls something of this type, by one of the ways there are. The arguments are written here. */
function callOf(body: Body, index: number, { isTail }: { readonly isTail: boolean }): void {
  const { choices, plan } = body;
  const type = plan.functions[index];
  if (type === undefined) throw new RangeError(`no function ${index}`);
  const tables = plan.tables.flatMap((one, table) => (one.type === "funcref" ? [table] : []));
  const way = plan.isAcyclic ? 0 : choices.below(4);
  body.values(type.params);
  if (way === 1 && tables.length > 0) {
    tableIndex(body);
    body.at(isTail ? 0x13 : 0x11, type.typeIndex, choices.pick(tables));
  } else if (way === 2 && plan.options.features.functionReferences) {
    body.expression(`ref ${type.typeIndex}`);
    body.at(isTail ? 0x15 : 0x14, type.typeIndex);
  } else body.at(isTail ? 0x12 : 0x10, index);
}

/** Functions that may be called here: of a module that ends because no function calls itself, those before this one. */
function callable({ plan, index = plan.functions.length }: Body, test: (type: FunctionType) => boolean): number[] {
  return plan.functions.flatMap((one, at) => ((plan.isAcyclic && at >= index) || !test(one) ? [] : [at]));
}

/** One of these, and more often than by chance the function itself. */
function pickCalled(body: Body, found: readonly number[]): number {
  const { choices, index } = body;
  return index !== undefined && found.includes(index) && choices.once(4) ? index : choices.pick(found);
}

export function callExpression(body: Body, type: ValueType): void {
  const exact = callable(body, ({ results }) => isSame(results, [type]));
  const first = callable(body, ({ results }) => results[0] === type);
  const found = exact.length > 0 && body.choices.mostly(4) ? exact : first;
  if (found.length === 0) return void body.expression(type);
  const index = pickCalled(body, found);
  callOf(body, index, { isTail: false });
  body.consume(body.plan.functions[index]?.results.slice(1) ?? []);
}

export function callStatement(body: Body): void {
  const { choices, plan } = body;
  const all = callable(body, () => true);
  const imported = all.filter((index) => plan.functions[index]?.host !== undefined);
  if (all.length === 0) return;
  const index = imported.length > 0 && choices.once(4) ? choices.pick(imported) : pickCalled(body, all);
  callOf(body, index, { isTail: false });
  body.consume(plan.functions[index]?.results ?? []);
}

/** A tail call to a function with the same results. Whether there is one. */
export function tailCall(body: Body): boolean {
  const found = callable(body, (type) => isSame(type.results, body.type.results));
  if (found.length === 0 || !body.plan.options.features.tailCalls) return false;
  callOf(body, body.choices.pick(found), { isTail: true });
  return true;
}
