import type { Body } from "./body.ts";
import type { NumberType } from "./encoding.ts";
import { scalarLoads, scalarStores, type Access } from "./operations.ts";
import { vectorLaneLoads, vectorLoads, vectorStores } from "./vector-operations.ts";

const loads = Map.groupBy([...scalarLoads, ...vectorLoads], ({ type }) => type);
const stores = [...scalarStores, ...scalarStores, ...vectorStores];

/** An address: mostly one that is there, now and then a wild one. */
export function address(body: Body, mask = 1023): void {
  const { choices } = body;
  if (choices.mostly(3)) {
    body.i32(choices.below(mask + 1));
    return;
  }
  body.expression("i32");
  if (choices.mostly(8)) body.i32(mask).op(0x71);
}

function memoryArgument(body: Body, { bytes, lanes }: Access): void {
  const { choices } = body;
  const offset = choices.mostly(4) ? choices.below(64) : choices.mostly(8) ? choices.below(60_000) : choices.below(2 ** 32);
  body.indexes(choices.below(Math.log2(bytes) + 1), offset);
  if (lanes !== undefined) body.raw(choices.below(lanes));
}

export function load(body: Body, type: NumberType): void {
  const found = body.plan.memory === undefined ? undefined : loads.get(type);
  if (found === undefined) return void body.expression(type);
  const { choices } = body;
  address(body);
  const isLane = type === "v128" && choices.once(4);
  if (isLane) body.expression("v128");
  const one = choices.pick(isLane ? vectorLaneLoads : found);
  body.op(...one.code);
  memoryArgument(body, one);
}

export function store(body: Body): void {
  if (body.plan.memory === undefined) return;
  const one = body.choices.pick(stores);
  address(body);
  body.expression(one.type);
  body.op(...one.code);
  memoryArgument(body, one);
}

/** The size, or that before growing by a little (or by what no memory can have). */
export function sizeOrGrow(body: Body): void {
  const { choices, plan } = body;
  if (plan.memory === undefined || plan.isBounded || choices.mostly(3)) {
    if (plan.memory === undefined) body.i32(choices.below(8));
    else body.op(0x3f, 0);
    return;
  }
  if (choices.once(4)) body.i32(choices.pick([-1, 0x7fffffff, 65_537]));
  else {
    body.expression("i32");
    body.i32(1).op(0x71);
  }
  body.op(0x40, 0);
}

/** How much a bulk operation covers: mostly a little, now and then pages, or more than there is. */
function length(body: Body): void {
  const { choices } = body;
  const isSmall = choices.mostly(4);
  const isKnown = choices.mostly(4);
  if (isSmall) body.i32(choices.below(100));
  else if (isKnown) body.i32(choices.pick([0, 1, 4095, 4096, 60_000, 65_536, 65_537, -1, 0x7fffffff]));
  else {
    body.expression("i32");
    body.i32(8191).op(0x71);
  }
}

export function bulk(body: Body): void {
  const { choices, plan } = body;
  if (plan.memory === undefined || plan.isBounded) return;
  const kind = choices.below(plan.passiveData === 0 ? 2 : 4);
  if (kind === 3) return void body.at([0xfc, 9], choices.below(plan.passiveData));
  address(body, 4095);
  if (kind === 0) body.expression("i32");
  else address(body, kind === 2 ? 7 : 4095);
  if (kind === 2) body.i32(choices.once(6) ? 20 : choices.below(4));
  else length(body);
  if (kind === 0) body.op(0xfc, 11, 0);
  else if (kind === 1) body.op(0xfc, 10, 0, 0);
  else body.at([0xfc, 8], choices.below(plan.passiveData)).raw(0);
}
