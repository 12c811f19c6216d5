import type { Body, Grammar } from "./body.ts";
import { conditional, ending } from "./control.ts";
import type { ValueType } from "./encoding.ts";
import { chosen, isNumber, leaf, statements, tee } from "./grammar.ts";
import { load } from "./memory.ts";
import { operation } from "./numbers.ts";

function leave(body: Body): void {
  body.values(body.type.results);
  body.op(0x0f);
}

const inLoops = [
  "countedLoop",
  "countedLoop",
  "setLocal",
  "store",
  "conditional",
  "branch",
  "block",
  "trapping",
  "lengthy",
  "straight",
] as const;

/** The grammar of a function in which nothing calls. */
export const loopGrammar: Grammar = {
  expression: (body, type) => {
    const { choices } = body;
    if (body.isSpent || !isNumber(type) || choices.mostly(3)) leaf(body, type);
    else choices.pick([operation, load, chosen, tee])(body, type);
  },
  statement: (body) => {
    if (!body.isSpent) statements[body.choices.pick(inLoops)](body);
  },
  ending: leave,
};

/** The grammar of a function that ends by itself, and may call those before it that do so too. */
export function leafGrammar(index: number): Grammar {
  const call = (body: Body, type: ValueType): void => {
    const found = body.plan.functions.flatMap(({ isLeaf, results }, one) => (isLeaf && one < index && results[0] === type ? [one] : []));
    if (found.length === 0) return void leaf(body, type);
    const target = body.choices.pick(found);
    body.values(body.plan.functions[target]?.params ?? []);
    body.at(0x10, target);
  };
  return {
    expression: (body, type) => {
      const { choices } = body;
      if (body.isSpent || !isNumber(type) || choices.mostly(2)) leaf(body, type);
      else choices.pick([operation, operation, load, chosen, call, (_: Body, one: ValueType) => conditional(body, [one])])(body, type);
    },
    statement: (body) => {
      if (!body.isSpent) statements[body.choices.pick(["setLocal", "store", "conditional", "branch", "countedLoop"] as const)](body);
    },
    ending: leave,
  };
}

/** Something of a parameter, so that each call goes another way. */
function ofParameter(body: Body): void {
  const { choices } = body;
  const params = body.type.params.flatMap((type, index) => (type === "i32" ? [index] : []));
  if (params.length === 0) body.at(0x23, body.plan.steps);
  else body.at(0x20, choices.pick(params));
  if (choices.once(2)) body.i32(choices.below(8)).op(0x76).i32(1).op(0x71);
  else body.i32(0x9e3779b1).op(0x6c).i32(choices.below(8)).op(0x77);
}

const inFlow = [
  ...([
    "straight",
    "straight",
    "call",
    "call",
    "call",
    "conditional",
    "conditional",
    "block",
    "block",
    "branch",
    "branch",
    "branch",
  ] as const),
  ...(["openLoop", "countedLoop", "try", "throw", "lengthy", "setLocal"] as const),
];

/** The grammar of small functions in which it matters which way is gone. */
export const flowGrammar: Grammar = {
  expression: (body, type) => {
    if (type === "i32" && body.choices.mostly(4)) ofParameter(body);
    else leaf(body, type);
  },
  statement: (body) => {
    if (!body.isSpent) statements[body.choices.pick(inFlow)](body);
  },
  ending,
};
