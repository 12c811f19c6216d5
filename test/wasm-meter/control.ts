import type { Body, Label } from "./body.ts";
import { tailCall } from "./calls.ts";
import { dead } from "./dead.ts";
import type { ValueType } from "./encoding.ts";
import { throwing } from "./exceptions.ts";
import { pickType, pickTypes } from "./plan.ts";

/** A block that gives these values. */
export function block(body: Body, results: readonly ValueType[]): void {
  const params = body.choices.once(4) ? pickTypes(body.choices, 2) : [];
  body.values(params);
  body.frame("block", { params, results }, () => {
    const rest = keepOrConsume(body, params, results);
    body.sequence(rest);
  });
}

/** Leaves the parameters where they can be the first results; takes them off the stack otherwise. What is still to be written. */
function keepOrConsume(body: Body, params: readonly ValueType[], results: readonly ValueType[]): readonly ValueType[] {
  const canStay = params.every((type, index) => type === results[index]);
  if (canStay && body.choices.once(2)) return results.slice(params.length);
  body.consume(params);
  return results;
}

export function conditional(body: Body, results: readonly ValueType[]): void {
  body.expression("i32");
  const params: readonly ValueType[] = body.choices.once(6) ? ["i32"] : [];
  if (params.length > 0) body.i32(body.choices.below(3));
  // The condition is on top of the parameters.
  if (params.length > 0) body.expression("i32");
  const label = { params, results };
  const hasElse = results.length > 0 || body.choices.once(2);
  body.frame("if", label, () => {
    body.sequence(keepOrConsume(body, params, results));
    if (!hasElse && params.length === 0) return;
    body.op(0x05);
    body.sequence(keepOrConsume(body, params, results));
  });
  if (params.length > 0) {
    // The first condition lies under the results.
    if (results.length === 0) body.op(0x1a);
    else dropUnder(body, results);
  }
}

/** Takes away what lies under values of these types. */
function dropUnder(body: Body, types: readonly ValueType[]): void {
  const kept = types.map((type) => body.freshLocal(type));
  for (const local of kept.toReversed()) body.at(0x21, local);
  body.op(0x1a);
  for (const local of kept) body.at(0x20, local);
}

/** A loop whose head can be reached by any branch inside it. It counts down at each turn. */
export function openLoop(body: Body, results: readonly ValueType[]): void {
  const { choices } = body;
  const params = choices.once(3) ? pickTypes(choices, 2) : [];
  const loop = (out: Label | undefined): void => {
    body.frame("loop", { params, results }, (label) => {
      const leave = (): void => {
        if (out === undefined) return body.leave();
        for (const type of results) body.zero(type);
        body.branch(0x0c, out);
      };
      body.countDown(leave);
      body.consume(params);
      if (choices.mostly(3)) turnBack(body, label);
      else body.statement();
      body.sequence(results);
    });
  };
  body.values(params);
  if (choices.once(2)) loop(undefined);
  else if (params.length > 0) wrapped(body, params, results, loop);
  else body.frame("block", { params: [], results }, loop);
}

function wrapped(body: Body, params: readonly ValueType[], results: readonly ValueType[], inside: (out: Label) => void): void {
  body.frame("block", { params, results }, inside);
}

/** A conditional branch to a loop's head, in one of its shapes. */
function turnBack(body: Body, label: Label): void {
  body.statement();
  if (body.choices.once(2)) {
    body.values(label.types);
    body.expression("i32");
    body.branch(0x0d, label);
    body.consume(label.types);
    return;
  }
  body.expression("i32");
  body.frame("if", { params: [], results: [] }, () => {
    if (!body.isSpent) body.statement();
    body.values(label.types);
    body.branch(0x0c, label);
    dead(body, []);
  });
}

/** A conditional branch that leaves its one value where it is not taken. */
export function branchingExpression(body: Body, type: ValueType): void {
  const found = body.openLabels([type]);
  if (found.length === 0) return void body.expression(type);
  body.values([type, "i32"]);
  body.branch(0x0d, body.choices.pick(found));
}

export function branchStatement(body: Body): void {
  const label = body.choices.pick(body.openLabels());
  if (body.choices.once(4)) return void branchTable(body, label);
  if (body.choices.once(3)) {
    body.expression("i32");
    body.frame("if", { params: [], results: [] }, () => body.grammar.ending(body));
    return;
  }
  body.values(label.types);
  body.expression("i32");
  body.branch(0x0d, label);
  body.consume(label.types);
}

/** Blocks around a table that chooses among them and what lies outside. */
function branchTable(body: Body, outer: Label): void {
  const { choices } = body;
  const count = choices.between(1, 4);
  const nest = (left: number): void => {
    if (left === 0) {
      tableTo(body, outer);
      return;
    }
    body.frame("block", { params: [], results: [] }, () => nest(left - 1));
    if (!body.isSpent) body.statement();
  };
  nest(count);
}

/** A table of branches whose default goes to this label. What follows is dead. */
function tableTo(body: Body, label: Label): void {
  const { choices } = body;
  const targets = body.openLabels(label.types);
  const count = choices.once(8) ? 30 : choices.below(5);
  body.values(label.types);
  body.expression("i32");
  const chosen = Array.from({ length: count }, () => body.depthOf(choices.pick(targets)));
  body.at(0x0e, chosen.length, ...chosen, body.depthOf(label));
  dead(body, []);
}

/** One of the ways to go away from here, and perhaps dead code after it, up to the frame's end. */
export function ending(body: Body): void {
  const { choices } = body;
  const results = body.labels.at(-1)?.results ?? [];
  const kind = choices.below(9);
  const label = choices.pick(body.openLabels());
  if (kind === 1) {
    body.values(body.type.results);
    body.op(0x0f);
  } else if (kind === 2 && choices.once(2)) body.op(0x00);
  else if (kind === 3 && throwing(body)) {
    // It has thrown.
  } else if (kind === 4 && tailCall(body)) {
    // It has gone.
  } else if (kind === 5) return void tableTo(body, label);
  else {
    body.values(label.types);
    body.branch(0x0c, label);
  }
  dead(body, results);
}

export function mixedBlock(body: Body): void {
  const results = Array.from({ length: body.choices.between(1, 3) }, () => pickType(body.choices));
  body.choices.pick([block, conditional, openLoop])(body, results);
  body.consume(results);
}
