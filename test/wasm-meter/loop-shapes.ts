import type { Body, Label } from "./body.ts";
import { mirrored, negated, opcodes, type Counted } from "./counted.ts";
import type { ValueType } from "./encoding.ts";

export interface Written extends Counted {
  readonly counter: number;
  readonly boundLocal: number | undefined;
}

export function constant(body: Body, type: "i32" | "i64", value: bigint): void {
  if (type === "i32") body.i32(Number(BigInt.asIntN(32, value)));
  else body.i64(value);
}

/** Adds the step, and leaves the counter on the stack where it is wanted. */
function advance(body: Body, { type, step, counter, oddity }: Written, { isWanted }: { readonly isWanted: boolean }): void {
  const { choices } = body;
  const add = type === "i32" ? 0x6a : 0x7c;
  const kind = choices.below(6);
  const from = oddity === "its step begins with another local" ? body.readableLocal(type) : counter;
  if (kind === 1) {
    constant(body, type, step);
    body.at(0x20, from).op(add);
  } else if (kind === 2) {
    body.at(0x20, from);
    constant(body, type, -step);
    body.op(add + 1);
  } else {
    body.at(0x20, from);
    constant(body, type, step);
    body.op(add);
  }
  if (!isWanted) body.at(0x21, counter);
  else if (choices.mostly(3)) body.at(0x22, counter);
  else body.at(0x21, counter).at(0x20, counter);
}

function writeBound(body: Body, { type, bound, boundLocal }: Written): void {
  if (boundLocal === undefined) constant(body, type, bound);
  else body.at(0x20, boundLocal);
}

/** Leaves a number that is not zero while the loop shall go on (or not, where that is turned round). The counter may be there already. */
function test(body: Body, loop: Written, { isThere, isNegated }: { readonly isThere: boolean; readonly isNegated: boolean }): void {
  const { choices } = body;
  const { type, counter, bound, boundLocal } = loop;
  const codes = opcodes[type];
  const toZero = boundLocal === undefined && BigInt.asIntN(type === "i32" ? 32 : 64, bound) === 0n && loop.comparison === "ne";
  const isMirrored = !isThere && choices.once(3);
  if (isMirrored) writeBound(body, loop);
  if (!isThere) body.at(0x20, counter);
  if (toZero && !isMirrored && choices.mostly(4)) {
    const eqz = type === "i32" ? 0x45 : 0x50;
    if (isNegated) body.op(eqz);
    else if (type === "i64") body.op(eqz, 0x45);
    return;
  }
  if (!isMirrored) writeBound(body, loop);
  const comparison = isMirrored ? mirrored[loop.comparison] : loop.comparison;
  const isTurned = choices.once(4);
  if (isTurned) body.op(codes[isNegated ? comparison : negated[comparison]], 0x45);
  else body.op(codes[isNegated ? negated[comparison] : comparison]);
}

const nothing = { params: [], results: [] } as const;

/** `loop { ...; i += s; if (i < n) continue }`, alone or behind the test that compilers put before it. */
export function bottomTested(body: Body, loop: Written, inside: (label: Label) => void): void {
  const { choices } = body;
  // A value that the loop gives, which nothing wants.
  const results: readonly ValueType[] = choices.once(8) ? ["i32"] : [];
  const bare = (): void => {
    body.frame(
      "loop",
      { params: [], results },
      (label) => {
        inside(label);
        end(body, loop, label);
        if (choices.once(8) && !body.isSpent) body.statement();
        body.values(results);
      },
      { isOpen: loop.isGuarded, isCounted: true },
    );
    for (const _ of results) body.op(0x1a);
  };
  if (choices.mostly(3)) return bare();
  test(body, loop, { isThere: false, isNegated: false });
  body.frame("if", nothing, bare);
}

/** The step, the test and the branch back. */
function end(body: Body, loop: Written, label: Label): void {
  const testAndBranch = (isThere: boolean): void => {
    test(body, loop, { isThere, isNegated: false });
    body.branch(0x0d, label);
  };
  if (loop.oddity === "its step is made under a condition") {
    body.expression("i32");
    body.frame("if", nothing, () => advance(body, loop, { isWanted: false }));
    body.ahead(() => testAndBranch(false));
  } else if (loop.oddity === "its test is in a block") {
    body.ahead(() => {
      body.frame("block", nothing, () => {
        advance(body, loop, { isWanted: true });
        testAndBranch(true);
      });
    });
  } else {
    body.ahead(() => {
      if (loop.oddity === "it has two steps") advance(body, loop, { isWanted: false });
      const isWanted = body.choices.mostly(4);
      if (body.choices.once(6)) {
        // The bound first, and then all of the step.
        writeBound(body, loop);
        advance(body, loop, { isWanted: true });
        body.op(opcodes[loop.type][mirrored[loop.comparison]]);
        body.branch(0x0d, label);
        return;
      }
      advance(body, loop, { isWanted });
      testAndBranch(isWanted);
    });
  }
}

/** `block { loop { if (!(i < n)) break; ...; i += s; continue } }` */
export function topTested(body: Body, loop: Written, inside: (label: Label) => void): void {
  body.frame("block", nothing, (out) => {
    body.frame(
      "loop",
      nothing,
      (label) => {
        body.ahead(() => {
          test(body, loop, { isThere: false, isNegated: true });
          body.branch(0x0d, out);
        });
        inside(label);
        body.ahead(() => {
          advance(body, loop, { isWanted: false });
          body.branch(0x0c, label);
        });
      },
      { isOpen: loop.isGuarded },
    );
  });
}

/** `loop { if (i < n) { ...; i += s; continue } }` */
export function insideTested(body: Body, loop: Written, inside: (label: Label) => void): void {
  body.frame(
    "loop",
    nothing,
    (label) => {
      test(body, loop, { isThere: false, isNegated: false });
      body.frame("if", nothing, () => {
        inside(label);
        advance(body, loop, { isWanted: false });
        body.branch(0x0c, label);
      });
    },
    { isOpen: loop.isGuarded },
  );
}
