import type { Body, Label } from "./body.ts";
import type { ValueType } from "./encoding.ts";

/** Throws. Whether this module can. */
export function throwing(body: Body): boolean {
  const { choices, plan } = body;
  if (plan.tags.length === 0) return false;
  const caught = body.labels.filter(({ kind }) => kind === "catch");
  if (caught.length > 0 && choices.once(2)) {
    body.branch(0x09, choices.pick(caught));
  } else if (plan.exceptions === "new" && choices.once(4)) {
    body.expression("exnref");
    body.op(0x0a);
  } else {
    const tag = choices.below(plan.tags.length);
    body.values(plan.tags[tag] ?? []);
    body.at(0x08, tag);
  }
  return true;
}

/** Throws here, if a condition holds. */
export function throwStatement(body: Body): void {
  if (body.plan.tags.length === 0) return;
  body.expression("i32");
  body.frame("if", { params: [], results: [] }, () => throwing(body));
}

export function tryBlock(body: Body, results: readonly ValueType[]): void {
  if (body.plan.exceptions === "old") oldTry(body, results);
  else if (body.plan.exceptions === "new") newTry(body, results);
  else body.frame("block", { params: [], results }, () => body.sequence(results));
}

/** `try` with `catch`, `catch_all`, or `delegate`. */
function oldTry(body: Body, results: readonly ValueType[]): void {
  const { choices, plan } = body;
  const frame = (kind: "try" | "catch"): Label => ({ kind, types: results, results, isOpen: true });
  body.op(0x06);
  body.blockType([], results);
  body.within(frame("try"), () => protectedPart(body, results));
  if (choices.once(3)) {
    body.branch(0x18, choices.pick(body.labels));
    return;
  }
  for (let left = choices.below(3); left > 0; left--) {
    const tag = choices.below(plan.tags.length);
    body.at(0x07, tag);
    body.within(frame("catch"), () => {
      body.consume(plan.tags[tag] ?? []);
      body.sequence(results);
    });
  }
  if (choices.once(2)) {
    body.op(0x19);
    body.within(frame("catch"), () => {
      body.sequence(results);
    });
  }
  body.op(0x0b);
}

/** What is inside of a `try`: mostly something that may throw. */
function protectedPart(body: Body, results: readonly ValueType[]): void {
  if (body.choices.mostly(3)) throwStatement(body);
  body.sequence(results);
}

interface Clause {
  readonly code: 0 | 1 | 2 | 3;
  readonly tag?: number;
  readonly label: Label;
}

/** `try_table` whose first clause goes to a block made for it, and others to any label that fits. */
function newTry(body: Body, results: readonly ValueType[]): void {
  const { choices, plan } = body;
  const tag = choices.below(plan.tags.length);
  const params = plan.tags[tag] ?? [];
  const code = choices.pick([0, 1, 2, 3] as const);
  const caught: ValueType[] = [...(code < 2 ? params : []), ...(isReference(code, params) ? (["exnref"] as const) : [])];
  body.frame("block", { params: [], results }, (out) => {
    body.frame("block", { params: [], results: caught }, (handler) => {
      const first: Clause = { code: code === 1 && params.length > 0 ? 0 : code, label: handler, ...(code < 2 ? { tag } : {}) };
      tryTable(body, results, [first, ...otherClauses(body)]);
      body.branch(0x0c, out);
    });
    body.consume(caught);
    body.sequence(results);
  });
}

/** Types of functions that have an `exnref` among others are left out: the policy knows none. */
function isReference(code: Clause["code"], params: readonly ValueType[]): boolean {
  return code === 3 || (code === 1 && params.length === 0);
}

function otherClauses(body: Body): Clause[] {
  const { choices, plan } = body;
  const clauses: Clause[] = [];
  for (const [tag, params] of plan.tags.entries()) {
    const fitting = body.openLabels(params);
    if (fitting.length > 0 && choices.once(2)) clauses.push({ code: 0, tag, label: choices.pick(fitting) });
  }
  const fitting = body.openLabels([]);
  if (fitting.length > 0 && choices.once(3)) clauses.push({ code: 2, label: choices.pick(fitting) });
  return clauses;
}

function tryTable(body: Body, results: readonly ValueType[], clauses: readonly Clause[]): void {
  body.op(0x1f);
  body.blockType([], results);
  body.indexes(clauses.length);
  for (const { code, tag, label } of clauses) {
    body.raw(code).indexes(...(tag === undefined ? [] : [tag]), body.depthOf(label));
  }
  body.within({ kind: "block", types: results, results, isOpen: true }, () => protectedPart(body, results));
  body.op(0x0b);
}
