import type { Body } from "./body.ts";
import { writeType, type ValueType } from "./encoding.ts";
import { smallConstant } from "./numbers.ts";
import { scalarOperations } from "./operations.ts";
import { numberTypes } from "./plan.ts";
import { vectorOperations } from "./vector-operations.ts";

const operations = [...scalarOperations, ...vectorOperations];

/** What is known of the stack where nothing is reached: the values on top; under them is whatever is wanted. */
class DeadStack {
  readonly known: ValueType[] = [];

  /** Whether the top can be taken as these. */
  has(types: readonly ValueType[]): boolean {
    return types.toReversed().every((type, index) => index >= this.known.length || this.known.at(-1 - index) === type);
  }

  take(count: number): void {
    this.known.length = Math.max(0, this.known.length - count);
  }
}

/**
 * Code that is never reached, up to the end of a frame whose results may be left on the stack. A validator still types it,
 * on a stack that gives what it is asked for.
 */
export function dead(body: Body, results: readonly ValueType[]): void {
  const { choices } = body;
  const stack = new DeadStack();
  if (choices.mostly(3)) return;
  for (let left = choices.between(1, 6); left > 0; left--) step(body, stack);
  // Some of the results may be there, the last ones; they are enough, since the rest is given.
  if (stack.known.length <= results.length && stack.has(results) && choices.once(2)) return;
  for (let left = stack.known.length; left > 0; left--) body.op(0x1a);
}

function step(body: Body, stack: DeadStack): void {
  const { choices } = body;
  const kind = choices.below(12);
  if (kind === 0) body.op(0x01);
  else if (kind === 1) drop(body, stack);
  else if (kind <= 3) operate(body, stack);
  else if (kind === 4) push(body, stack);
  else if (kind === 5) transfer(body, stack);
  else if (kind === 6) select(body, stack);
  else if (kind === 7) call(body, stack);
  else if (kind === 8 && !body.isSpent) body.statement();
  else if (kind === 9) nested(body, stack);
  else if (kind === 10) local(body, stack);
  else push(body, stack);
}

function drop(body: Body, stack: DeadStack): void {
  body.op(0x1a);
  stack.take(1);
}

/** Makes the top of the stack one that can be taken as these types. */
function clear(body: Body, stack: DeadStack, types: readonly ValueType[]): void {
  while (!stack.has(types)) drop(body, stack);
}

function operate(body: Body, stack: DeadStack): void {
  const one = body.choices.pick(operations);
  clear(body, stack, one.operands);
  body.op(...one.code);
  if (one.trait === "lane") body.raw(0);
  stack.take(one.operands.length);
  stack.known.push(one.result);
}

function push(body: Body, stack: DeadStack): void {
  const type = body.choices.pick(numberTypes);
  smallConstant(body, type);
  stack.known.push(type);
}

/** Another branch, return or trap where none is reached. */
function transfer(body: Body, stack: DeadStack): void {
  const label = body.choices.pick(body.labels);
  const kind = body.choices.below(4);
  if (kind === 0) body.op(0x00);
  else if (kind === 1) {
    clear(body, stack, body.type.results);
    body.op(0x0f);
  } else if (kind === 2) {
    clear(body, stack, label.types);
    body.branch(0x0c, label);
  } else {
    clear(body, stack, [...label.types, "i32"]);
    const depth = body.depthOf(label);
    body.at(0x0e, 2, depth, depth, depth);
  }
  stack.known.length = 0;
}

/** `select` over values of which not even the types are given. */
function select(body: Body, stack: DeadStack): void {
  while (stack.known.length > 0) drop(body, stack);
  if (body.choices.once(2)) {
    body.op(0x1b, 0x1a);
    return;
  }
  body.op(0x1c, 1);
  const type = body.choices.pick([...numberTypes, "funcref"] as const);
  writeType(body.code, type);
  stack.known.push(type);
}

function call(body: Body, stack: DeadStack): void {
  const index = body.choices.below(body.plan.functions.length);
  const type = body.plan.functions[index];
  if (type === undefined) return;
  clear(body, stack, type.params);
  body.at(0x10, index);
  stack.take(type.params.length);
  stack.known.push(...type.results);
}

/** Frames of control that nothing enters, some with more dead code in them, some that take what is not there. */
function nested(body: Body, stack: DeadStack): void {
  const { choices } = body;
  const kind = choices.pick(["block", "loop", "if"] as const);
  const params: ValueType[] = choices.once(2) ? [choices.pick(numberTypes)] : [];
  const wanted: ValueType[] = kind === "if" ? [...params, "i32"] : params;
  clear(body, stack, wanted);
  body.frame(kind, { params, results: [] }, () => {
    for (const _ of params) body.op(0x1a);
    if (choices.once(2)) {
      body.op(0x00);
      dead(body, []);
    }
    if (kind === "if" && choices.once(2)) {
      body.op(0x05);
      for (const _ of params) body.op(0x1a);
    } else if (kind === "if" && params.length > 0) body.op(0x05, 0x1a);
  });
  stack.take(wanted.length);
}

function local(body: Body, stack: DeadStack): void {
  const type = body.choices.pick(numberTypes);
  clear(body, stack, [type]);
  const isKept = body.choices.once(2);
  body.at(isKept ? 0x22 : 0x21, body.writableLocal(type));
  stack.take(1);
  if (isKept) stack.known.push(type);
}
