import type { Body } from "./body.ts";
import { isTyped, typeIndexOf, type ValueType } from "./encoding.ts";

/** A reference of this type: null, or to a function, or from a table. */
export function reference(body: Body, type: ValueType): void {
  const { choices, plan } = body;
  if (isTyped(type)) return void typedReference(body, type);
  const tables = plan.tables.flatMap((one, index) => (one.type === type ? [index] : []));
  const kind = choices.below(5);
  const globals = body.globals(type, "read");
  const functions = plan.functions.flatMap(({ isAddressable }, index) => (isAddressable ? [index] : []));
  if (kind === 1 && type === "funcref" && functions.length > 0) functionReference(body, choices.pick(functions));
  else if (kind === 2 && tables.length > 0) {
    tableIndex(body);
    body.at(0x25, choices.pick(tables));
  } else if (kind === 3) body.at(0x20, body.readableLocal(type));
  else if (kind === 4 && globals.length > 0) body.at(0x23, choices.pick(globals));
  else body.null(type);
}

function typedReference(body: Body, type: `ref ${number}` | `own ${number}`): void {
  const { choices, plan } = body;
  const typeIndex = typeIndexOf(type);
  const found = plan.functions.flatMap((one, index) => (one.typeIndex === typeIndex && one.isAddressable ? [index] : []));
  if (found.length > 0 && choices.mostly(6)) functionReference(body, choices.pick(found));
  else if (type.startsWith("ref ") && choices.once(2)) body.at(0x20, body.readableLocal(type));
  else body.null(type);
}

export function functionReference(body: Body, index: number): void {
  body.plan.referenced.add(index);
  body.at(0xd2, index);
}

/** Mostly an index that the first tables have. */
export function tableIndex(body: Body): void {
  const { choices } = body;
  if (choices.mostly(3)) body.i32(choices.below(6));
  else {
    body.expression("i32");
    if (choices.mostly(8)) body.i32(3).op(0x71);
  }
}

export function isNull(body: Body): void {
  body.expression(body.choices.pick(["funcref", "externref"]));
  body.op(0xd1);
}

export function tableSizeOrGrow(body: Body): void {
  const { choices, plan } = body;
  if (plan.tables.length === 0) return void body.i32(choices.below(4));
  const table = choices.below(plan.tables.length);
  if (plan.isBounded || choices.mostly(3)) return void body.at([0xfc, 16], table);
  body.expression(plan.tables[table]?.type ?? "funcref");
  if (choices.once(4)) body.i32(choices.pick([-1, 0x7fffffff]));
  else body.i32(choices.below(4));
  body.at([0xfc, 15], table);
}

export function tableStatement(body: Body): void {
  const { choices, plan } = body;
  if (plan.tables.length === 0) return;
  const table = choices.below(plan.tables.length);
  const type = plan.tables[table]?.type ?? "funcref";
  const kind = choices.below(plan.passiveElements === 0 ? 3 : 5);
  if (plan.isBounded && kind !== 0) return;
  if (kind === 4) return void body.at([0xfc, 13], choices.below(plan.passiveElements));
  tableIndex(body);
  if (kind === 0) {
    body.expression(type);
    body.at(0x26, table);
  } else if (kind === 1) {
    body.expression(type);
    body.i32(choices.below(4)).at([0xfc, 17], table);
  } else if (kind === 2 || type !== "funcref") {
    const from = choices.pick(plan.tables.flatMap((one, index) => (one.type === type ? [index] : [])));
    tableIndex(body);
    body.i32(choices.below(4)).at([0xfc, 14], table, from);
  } else {
    body.i32(choices.below(2)).i32(choices.below(2));
    body.at([0xfc, 12], choices.below(plan.passiveElements), table);
  }
}

/** Uses a typed reference, which a branch takes out of the way where it is null. */
export function nullBranch(body: Body): void {
  const { choices, plan } = body;
  if (!plan.options.features.functionReferences) return;
  const typeIndex = choices.pick(plan.functions).typeIndex;
  const label = choices.pick([undefined, ...body.openLabels([])]);
  if (label !== undefined && choices.once(2)) {
    body.expression(`ref ${typeIndex}`);
    body.branch(0xd5, label);
    body.op(0x1a);
    return;
  }
  body.frame("block", { params: [], results: [`ref ${typeIndex}`] }, (inner) => {
    body.expression(`ref ${typeIndex}`);
    body.branch(0xd6, inner);
    body.null(`ref ${typeIndex}`);
  });
  body.at(0x21, body.writableLocal(`ref ${typeIndex}`));
}
