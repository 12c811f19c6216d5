import { isSame, type Body } from "./body.ts";
import type { FunctionType, ValueType } from "./encoding.ts";
import { tableIndex } from "./references.ts";

/** Calls something of this type, by one of the ways there are. The arguments are written here. */
function callOf(body: Body, index: number, { isTail }: { readonly isTail: boolean }): void {
  const { choices, plan } = body;
  const type = plan.functions[index];
  if (type === undefined) throw new RangeError(`no function ${index}`);
  const tables = plan.tables.flatMap((one, table) => (one.type === "funcref" ? [table] : []));
  const way = choices.below(4);
  body.values(type.params);
  if (way === 1 && tables.length > 0) {
    tableIndex(body);
    body.at(isTail ? 0x13 : 0x11, type.typeIndex, choices.pick(tables));
  } else if (way === 2 && plan.options.features.functionReferences) {
    body.expression(`ref ${type.typeIndex}`);
    body.at(isTail ? 0x15 : 0x14, type.typeIndex);
  } else body.at(isTail ? 0x12 : 0x10, index);
}

export function callExpression(body: Body, type: ValueType): void {
  const exact = body.functionsWhere(({ results }) => isSame(results, [type]));
  const first = body.functionsWhere(({ results }) => results[0] === type);
  const found = exact.length > 0 && body.choices.mostly(4) ? exact : first;
  if (found.length === 0) return void body.expression(type);
  const isOwn = body.index !== undefined && found.includes(body.index) && body.choices.once(4);
  const index = isOwn && body.index !== undefined ? body.index : body.choices.pick(found);
  callOf(body, index, { isTail: false });
  body.consume(body.plan.functions[index]?.results.slice(1) ?? []);
}

export function callStatement(body: Body): void {
  const { choices, plan } = body;
  const imported = plan.functions.flatMap(({ host }, index) => (host === undefined ? [] : [index]));
  const kind = choices.below(4);
  const index =
    kind === 2 && body.index !== undefined
      ? body.index
      : kind === 3 && imported.length > 0
        ? choices.pick(imported)
        : choices.below(plan.functions.length);
  callOf(body, index, { isTail: false });
  body.consume(plan.functions[index]?.results ?? []);
}

/** A tail call to a function with the same results. Whether there is one. */
export function tailCall(body: Body): boolean {
  const found = body.functionsWhere((type: FunctionType) => isSame(type.results, body.type.results));
  if (found.length === 0 || !body.plan.options.features.tailCalls) return false;
  callOf(body, body.choices.pick(found), { isTail: true });
  return true;
}
