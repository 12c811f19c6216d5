import type { Body, Grammar } from "./body.ts";
import { callExpression, callStatement } from "./calls.ts";
import { block, branchingExpression, branchStatement, conditional, ending, mixedBlock, openLoop } from "./control.ts";
import { countedLoop } from "./counted-loops.ts";
import { writeType, type NumberType, type ValueType } from "./encoding.ts";
import { throwStatement, tryBlock } from "./exceptions.ts";
import { address, bulk, load, sizeOrGrow, store } from "./memory.ts";
import { operation, shuffle, smallConstant } from "./numbers.ts";
import { isNull, nullBranch, reference, tableSizeOrGrow, tableStatement } from "./references.ts";

export function isNumber(type: ValueType): type is NumberType {
  return type === "i32" || type === "i64" || type === "f32" || type === "f64" || type === "v128";
}

export function leaf(body: Body, type: ValueType): void {
  const { choices } = body;
  const globals = body.globals(type, "read");
  const kind = choices.below(3);
  if (!isNumber(type)) {
    if (type.startsWith("own ") || type.startsWith("ref ")) reference(body, type);
    else if (kind === 1) body.at(0x20, body.readableLocal(type));
    else body.null(type);
  } else if (kind === 1) body.at(0x20, body.readableLocal(type));
  else if (kind === 2 && globals.length > 0) body.at(0x23, choices.pick(globals));
  else smallConstant(body, type);
}

export function chosen(body: Body, type: ValueType): void {
  if (isNumber(type) && body.choices.mostly(3)) {
    body.values([type, type, "i32"]);
    body.op(0x1b);
    return;
  }
  body.values([type, type, "i32"]);
  body.op(0x1c, 1);
  writeType(body.code, type);
}

export function tee(body: Body, type: ValueType): void {
  body.expression(type);
  body.at(0x22, body.writableLocal(type));
}

/** What gives one value of any type that blocks and functions can give. */
function structured(body: Body, type: ValueType): void {
  const kind = body.choices.below(10);
  if (kind === 0) block(body, [type]);
  else if (kind === 1) conditional(body, [type]);
  else if (kind === 2) openLoop(body, [type]);
  else if (kind <= 4) callExpression(body, type);
  else if (kind === 5) chosen(body, type);
  else if (kind === 6) tee(body, type);
  else if (kind === 7) branchingExpression(body, type);
  else if (kind === 8) tryBlock(body, [type]);
  else {
    body.statement();
    body.expression(type);
  }
}

function expression(body: Body, type: ValueType): void {
  const { choices } = body;
  if (body.isSpent || choices.mostly(2)) return void leaf(body, type);
  if (type.startsWith("own ") || type.startsWith("ref ")) return void reference(body, type);
  if (choices.once(3)) return void structured(body, type);
  if (!isNumber(type)) return void reference(body, type);
  const kind = choices.below(8);
  if (kind <= 4) operation(body, type);
  else if (kind <= 6 || type === "i64" || type === "f32" || type === "f64") load(body, type);
  else if (type === "v128") shuffle(body);
  else choices.pick([sizeOrGrow, tableSizeOrGrow, isNull, address])(body);
}

function setGlobal(body: Body): void {
  const { choices, plan } = body;
  const type = choices.pick(plan.globals).type;
  const found = body.globals(type, "write");
  if (found.length === 0) return;
  body.expression(type);
  body.at(0x24, choices.pick(found));
}

function setLocal(body: Body): void {
  const { choices } = body;
  const type = choices.once(3) ? choices.pick(["i64", "f32", "f64", "v128", "funcref"] as const) : "i32";
  body.expression(type);
  body.at(0x21, body.writableLocal(type));
}

function dropped(body: Body): void {
  body.expression(body.choices.pick(["i32", "i64", "f64", "v128", "externref"]));
  body.op(0x1a);
}

/** A trap, if a condition holds, which it does once in sixteen times or so. */
function trapping(body: Body): void {
  body.expression("i32");
  body.i32(15).op(0x71).i32(7).op(0x46);
  body.frame("if", { params: [], results: [] }, () => body.op(0x00));
}

/** So much straight code that it is not charged in one piece, in modules that may be large. */
function lengthy(body: Body): void {
  const { choices } = body;
  if (!body.plan.isLarge) return;
  const local = body.writableLocal("i32");
  for (let left = choices.below(450); left > 0; left--) {
    const code = left % 3 === 0 ? 0x6e : 0x6a;
    body.at(0x20, local).i32(left).op(code).at(0x21, local);
  }
  // So that any instruction behind may be where a piece ends.
  for (let left = choices.below(20); left > 0; left--) body.i32(0).op(0x1a);
}

/** Code without a way out of it, more of it than stands elsewhere: what an arm or a tail costs is not lost in what is around it. */
function straight(body: Body): void {
  const local = body.writableLocal("i32");
  for (let left = body.choices.below(40); left > 0; left--) body.at(0x20, local).i32(left).op(0x6a).at(0x21, local);
}

export const statements = {
  setLocal,
  store,
  setGlobal,
  call: callStatement,
  conditional: (body: Body) => conditional(body, []),
  block: (body: Body) => block(body, []),
  openLoop: (body: Body) => openLoop(body, []),
  countedLoop,
  branch: branchStatement,
  mixedBlock,
  bulk,
  table: tableStatement,
  throw: throwStatement,
  try: (body: Body) => tryBlock(body, []),
  nullBranch,
  dropped,
  trapping,
  lengthy,
  straight,
  nop: (body: Body): void => void body.op(0x01),
} as const;

type Kind = keyof typeof statements;

const kinds: readonly Kind[] = [
  ...([
    "setLocal",
    "setLocal",
    "store",
    "store",
    "call",
    "setGlobal",
    "conditional",
    "block",
    "openLoop",
    "countedLoop",
    "countedLoop",
  ] as const),
  ...([
    "branch",
    "branch",
    "mixedBlock",
    "bulk",
    "table",
    "throw",
    "try",
    "nullBranch",
    "dropped",
    "trapping",
    "lengthy",
    "straight",
    "nop",
  ] as const),
];

/** Kinds that a rewriter has to keep apart. */
const themes: readonly (readonly Kind[])[] = [
  ["countedLoop"],
  ["try", "throw", "countedLoop", "openLoop", "branch"],
  ["call", "conditional", "countedLoop"],
  ["call", "branch", "block", "straight"],
  ["call", "branch", "conditional", "block", "straight"],
  ["openLoop", "branch", "block", "mixedBlock"],
  ["countedLoop", "store", "bulk", "branch"],
  ["conditional", "branch", "openLoop", "call"],
  ["try", "call", "throw", "conditional", "straight"],
  ["try", "throw", "countedLoop"],
  ["call", "conditional"],
  ["lengthy", "call", "conditional", "block"],
  ["lengthy", "countedLoop", "branch", "try"],
  [],
];

function pickKind({ choices, plan }: Body): Kind {
  const [first, ...rest] = plan.focus;
  if (first === undefined || choices.once(6)) return choices.pick(kinds);
  const focus = [...(themes[first % themes.length] ?? []), ...rest.flatMap((one) => kinds[one % kinds.length] ?? [])];
  return choices.pick(focus.length > 0 ? focus : kinds);
}

function statement(body: Body): void {
  if (!body.isSpent) statements[pickKind(body)](body);
}

export const grammar: Grammar = { expression, statement, ending };
