import type { Body } from "./body.ts";
import { chooseCounted, mirrored, negated, opcodes, parameterMask, type Counted } from "./counted.ts";

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

function constant(body: Body, type: "i32" | "i64", value: bigint): void {
  if (type === "i32") body.i32(Number(BigInt.asIntN(32, value)));
  else body.i64(value);
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

interface Written extends Counted {
  readonly counter: number;
  readonly boundLocal: number | undefined;
}

function write(body: Body, loop: Counted, { isLong }: { readonly isLong: boolean }): void {
  const { choices } = body;
  const boundLocal = loop.boundFrom === "constant" ? undefined : body.freshLocal(loop.type);
  if (boundLocal !== undefined) prepare(body, loop, loop.bound, loop.boundFrom, boundLocal);
  const counter = body.freshLocal(loop.type);
  const written = { ...loop, counter, boundLocal };
  // A fresh local is zero only where this place is reached once.
  const isZero = loop.start === 0n && loop.startFrom === "constant" && body.loops === 0;
  if (!isZero || choices.mostly(3)) prepare(body, loop, loop.start, loop.startFrom, counter);
  const held = loop.isGuarded && choices.mostly(3) ? [] : [counter, ...(boundLocal === undefined ? [] : [boundLocal])];
  for (const local of held) body.pinned.add(local);
  const inside = (): void => turn(body, written, isLong);
  if (loop.tested === "bottom") bottomTested(body, written, inside);
  else if (loop.tested === "top") topTested(body, written, inside);
  else insideTested(body, written, inside);
  for (const local of held) body.pinned.delete(local);
}

/** What one turn does. */
function turn(body: Body, loop: Written, isLong: boolean): void {
  const { choices } = body;
  if (loop.isGuarded) {
    // Out of the loop, whatever is around it.
    body.countDown(() => body.leave());
  }
  if (isLong) {
    useCounter(body, loop);
    return;
  }
  if (loop.isGuarded && choices.once(3)) tamper(body, loop);
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

/** Adds the step, and leaves the counter on the stack where it is wanted. */
function advance(body: Body, { type, step, counter }: Written, { isWanted }: { readonly isWanted: boolean }): void {
  const { choices } = body;
  const add = type === "i32" ? 0x6a : 0x7c;
  const kind = choices.below(4);
  if (kind === 1) {
    constant(body, type, step);
    body.at(0x20, counter).op(add);
  } else if (kind === 2) {
    body.at(0x20, counter);
    constant(body, type, -step);
    body.op(add + 1);
  } else {
    body.at(0x20, counter);
    constant(body, type, step);
    body.op(add);
  }
  if (!isWanted) body.at(0x21, counter);
  else if (choices.mostly(3)) body.at(0x22, counter);
  else body.at(0x21, counter).at(0x20, counter);
}

/** Leaves a number that is not zero while the loop shall go on (or not, where that is turned round). The counter may be there already. */
function test(body: Body, loop: Written, { isThere, isNegated }: { readonly isThere: boolean; readonly isNegated: boolean }): void {
  const { choices } = body;
  const { type, counter, bound, boundLocal, boundFrom } = loop;
  const codes = opcodes[type];
  const toZero = boundFrom === "constant" && BigInt.asIntN(type === "i32" ? 32 : 64, bound) === 0n && loop.comparison === "ne";
  const writeBound = (): void => {
    if (boundLocal === undefined) constant(body, type, bound);
    else body.at(0x20, boundLocal);
  };
  const isMirrored = !isThere && choices.once(3);
  if (isMirrored) writeBound();
  if (!isThere) body.at(0x20, counter);
  if (toZero && !isMirrored && choices.mostly(4)) {
    const eqz = type === "i32" ? 0x45 : 0x50;
    if (isNegated) body.op(eqz);
    else if (type === "i64") body.op(eqz, 0x45);
    return;
  }
  if (!isMirrored) writeBound();
  const comparison = isMirrored ? mirrored[loop.comparison] : loop.comparison;
  const isTurned = choices.once(4);
  if (isTurned) body.op(codes[isNegated ? comparison : negated[comparison]], 0x45);
  else body.op(codes[isNegated ? negated[comparison] : comparison]);
}

const nothing = { params: [], results: [] } as const;

/** `loop { ...; i += s; if (i < n) continue }`, alone or behind the test that compilers put before it. */
function bottomTested(body: Body, loop: Written, inside: () => void): void {
  const bare = (): void => {
    body.frame(
      "loop",
      nothing,
      (label) => {
        inside();
        advance(body, loop, { isWanted: true });
        test(body, loop, { isThere: true, isNegated: false });
        body.branch(0x0d, label);
        if (body.choices.once(8) && !body.isSpent) body.statement();
      },
      { isOpen: loop.isGuarded },
    );
  };
  if (body.choices.mostly(3)) return void bare();
  test(body, loop, { isThere: false, isNegated: false });
  body.frame("if", nothing, bare);
}

/** `block { loop { if (!(i < n)) break; ...; i += s; continue } }` */
function topTested(body: Body, loop: Written, inside: () => void): void {
  body.frame("block", nothing, (out) => {
    body.frame(
      "loop",
      nothing,
      (label) => {
        test(body, loop, { isThere: false, isNegated: true });
        body.branch(0x0d, out);
        inside();
        advance(body, loop, { isWanted: false });
        body.branch(0x0c, label);
      },
      { isOpen: loop.isGuarded },
    );
  });
}

/** `loop { if (i < n) { ...; i += s; continue } }` */
function insideTested(body: Body, loop: Written, inside: () => void): void {
  body.frame(
    "loop",
    nothing,
    (label) => {
      test(body, loop, { isThere: false, isNegated: false });
      body.frame("if", nothing, () => {
        inside();
        advance(body, loop, { isWanted: false });
        body.branch(0x0c, label);
      });
    },
    { isOpen: loop.isGuarded },
  );
}
