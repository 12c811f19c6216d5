import type { Body, Label } from "./body.ts";
import { chooseCounted, parameterMask, type Counted } from "./counted.ts";
import { bottomTested, constant, insideTested, topTested, type Written } from "./loop-shapes.ts";

/** So many turns at most in a loop that does not count down, by how many loops are around it. */
const mostTurns = [40, 9, 4, 2];
/** And in one around which there is none, and which has nothing but a line in it. */
const mostLongTurns = 6000;

export function countedLoop(body: Body): void {
  const { choices } = body;
  const isLong = body.loops === 0 && choices.once(body.plan.options.subject === "loops" ? 2 : 6);
  const most = isLong ? mostLongTurns : (mostTurns[body.loops] ?? 1);
  if (isLong) {
    // So that a function of such loops that calls itself does not take for ever.
    body.frame("block", { params: [], results: [] }, (out) => {
      body.countDown(() => body.branch(0x0c, out), 16);
      write(body, chooseCounted(body, most), { isLong });
    });
  } else write(body, chooseCounted(body, most), { isLong });
}

/** Puts a value into a local: a constant, or one that a parameter is added to, of which a loop that has to end by itself takes little. */
function prepare(body: Body, { type, isGuarded }: Counted, value: bigint, from: "constant" | "local" | "parameter", local: number): void {
  const params = body.type.params.flatMap((one, index) => (one === type ? [index] : []));
  constant(body, type, value);
  if (from === "parameter" && params.length > 0) {
    body.at(0x20, body.choices.pick(params));
    if (!isGuarded || body.choices.once(2)) {
      constant(body, type, parameterMask);
      body.op(type === "i32" ? 0x71 : 0x83);
    }
    body.op(type === "i32" ? 0x6a : 0x7c);
  }
  body.at(0x21, local);
}

function write(body: Body, loop: Counted, { isLong }: { readonly isLong: boolean }): void {
  const { choices } = body;
  const boundLocal = loop.boundFrom === "constant" ? undefined : body.freshLocal(loop.type);
  if (boundLocal !== undefined) prepare(body, loop, loop.bound, loop.boundFrom, boundLocal);
  const counter = body.freshLocal(loop.type);
  const written = { ...loop, counter, boundLocal: loop.oddity === "it compares with itself" ? counter : boundLocal };
  // A fresh local is zero only where this place is reached once.
  const isZero = loop.start === 0n && loop.startFrom === "constant" && body.loops === 0;
  if (!isZero || choices.mostly(3)) prepare(body, loop, loop.start, loop.startFrom, counter);
  const held = loop.isGuarded && choices.mostly(3) ? [] : [counter, ...(boundLocal === undefined ? [] : [boundLocal])];
  for (const local of held) body.pinned.add(local);
  const inside = (label: Label): void => turn(body, written, { isLong, label });
  if (loop.tested === "bottom") bottomTested(body, written, inside);
  else if (loop.tested === "top") topTested(body, written, inside);
  else insideTested(body, written, inside);
  for (const local of held) body.pinned.delete(local);
}

/** What one turn does. */
function turn(body: Body, loop: Written, { isLong, label }: { readonly isLong: boolean; readonly label: Label }): void {
  const { choices } = body;
  if (loop.isGuarded) {
    // Out of the loop, whatever is around it.
    body.countDown(() => body.leave());
  }
  if (isLong) {
    useCounter(body, loop);
    return;
  }
  if (loop.oddity === "something else writes what it counts with") tamper(body, loop);
  if (loop.oddity === "it goes back early") {
    body.expression("i32");
    body.branch(0x0d, label);
  }
  for (let left = choices.below(3); left > 0 && !body.isSpent; left--) body.statement();
  if (choices.once(3)) useCounter(body, loop);
  if (choices.once(6)) breakOut(body);
}

/** Adds the counter up in another local, or stores it where it points to. */
function useCounter(body: Body, { counter, type }: Written): void {
  if (body.plan.memory !== undefined && body.choices.once(2)) {
    body.at(0x20, counter);
    if (type === "i64") body.op(0xa7);
    if (body.choices.mostly(8)) body.i32(4095).op(0x71);
    body.at(0x20, counter);
    body.at(type === "i32" ? 0x36 : 0x37, 0, body.choices.below(100));
    return;
  }
  const sum = body.writableLocal(type);
  body
    .at(0x20, sum)
    .at(0x20, counter)
    .op(type === "i32" ? 0x6a : 0x7c)
    .at(0x21, sum);
}

/** Changes what the loop counts with, now and then or at each turn. */
function tamper(body: Body, { counter, boundLocal, type }: Written): void {
  const { choices } = body;
  const target = boundLocal !== undefined && choices.once(2) ? boundLocal : counter;
  const change = (): void => {
    body.at(0x20, choices.once(3) ? counter : target);
    constant(body, type, choices.pick([1n, -1n, 2n, 5n, 0n]));
    body.op(type === "i32" ? 0x6a : 0x7c);
    if (choices.once(3)) body.at(0x22, target).op(0x1a);
    else body.at(0x21, target);
  };
  if (choices.once(3)) return change();
  body.expression("i32");
  body.frame("if", { params: [], results: [] }, change);
}

function breakOut(body: Body): void {
  const found = body.openLabels().filter(({ types }) => types.length === 0);
  body.expression("i32");
  if (found.length > 0) body.branch(0x0d, body.choices.pick(found));
  else body.op(0x1a);
}
