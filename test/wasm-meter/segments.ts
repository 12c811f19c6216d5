import { Bytes, type ValueType } from "./encoding.ts";
import { stepsOfCall, type Plan } from "./plan.ts";

/** A constant expression that initialises a global, its end included. */
export function writeConstant(plan: Plan, type: ValueType, name: string | undefined, into: Bytes): void {
  const { choices, options } = plan;
  const imported = plan.globals.findIndex((one) => one.isImported && !one.isMutable && one.type === type);
  if (name === "steps") into.raw(0x41).s32(stepsOfCall);
  else if (name === "work" || name === "most") into.raw(0x42, 0);
  else if (imported !== -1 && choices.once(2)) into.raw(0x23).u32(imported);
  else if (type === "i32" && options.features.extendedConstants && choices.once(4)) into.raw(0x41).s32(7).raw(0x41).s32(-3).raw(0x6c);
  else if (type === "i64" && options.features.extendedConstants && choices.once(4)) into.raw(0x42, 7, 0x42, 9, 0x7d);
  else if (type === "i32") into.raw(0x41).s32(choices.below(2 ** 32));
  else if (type === "i64") into.raw(0x42).s64(BigInt(choices.below(2 ** 32)) * 0x1234567n);
  else if (type === "f32") into.raw(0x43).little(BigInt(choices.pick([0, 0x3fc00000, 0xc1200000])), 4);
  else if (type === "f64") into.raw(0x44).little(choices.pick([0n, 0x4004000000000000n, 0xc059000000000000n]), 8);
  else if (type === "v128") into.raw(0xfd, 12).little(BigInt(choices.below(2 ** 32)) << 40n, 16);
  else if (type === "funcref" && choices.once(3)) into.raw(0xd2).u32(choices.below(plan.functions.length));
  else into.raw(0xd0, type === "funcref" ? 0x70 : 0x6f);
  into.raw(0x0b);
}

function functionList(plan: Plan, most: number): number[] {
  const functions = plan.functions.flatMap(({ isAddressable }, index) => (isAddressable ? [index] : []));
  if (functions.length === 0) return [];
  return Array.from({ length: plan.choices.below(most + 1) }, () => plan.choices.pick(functions));
}

function writeIndexes(functions: readonly number[], into: Bytes): void {
  into.list(functions, (index) => into.u32(index));
}

function writeReferences(functions: readonly number[], into: Bytes): void {
  into.list(functions, (index) => (index % 7 === 6 ? into.raw(0xd0, 0x70, 0x0b) : into.raw(0xd2).u32(index).raw(0x0b)));
}

/** The passive ones first, since instructions name them; the declarative one last. */
export function elementSegments(plan: Plan): Bytes | undefined {
  const { choices } = plan;
  const segments: Bytes[] = [];
  for (let left = plan.passiveElements; left > 0; left--) {
    const functions = functionList(plan, 4);
    const segment = new Bytes();
    if (choices.once(2)) writeReferences(functions, segment.raw(5, 0x70));
    else writeIndexes(functions, segment.raw(1, 0));
    segments.push(segment);
  }
  for (const [table, { type, min }] of plan.tables.entries()) {
    if (type !== "funcref") continue;
    const functions = functionList(plan, min);
    // Now and then one that does not fit, so that the instance is not made.
    const offset = choices.once(60) ? min + 1 : 0;
    const segment = new Bytes();
    const place = (): Bytes => segment.raw(0x41).s32(offset).raw(0x0b);
    const kind = choices.below(4);
    if (kind === 1) {
      segment.raw(6).u32(table);
      writeReferences(functions, place().raw(0x70));
    } else if (kind === 2 && table === 0) {
      segment.raw(4);
      writeReferences(functions, place());
    } else if (kind === 3 || table > 0) {
      segment.raw(2).u32(table);
      writeIndexes(functions, place().raw(0));
    } else {
      segment.raw(0);
      writeIndexes(functions, place());
    }
    segments.push(segment);
  }
  if (plan.referenced.size > 0) {
    const segment = new Bytes();
    if (choices.once(3)) segment.raw(7, 0x70).list([...plan.referenced], (index) => segment.raw(0xd2).u32(index).raw(0x0b));
    else writeIndexes([...plan.referenced], segment.raw(3, 0));
    segments.push(segment);
  }
  return segments.length === 0 ? undefined : new Bytes().list(segments, (one, _, into) => into.append(one));
}

/** The passive ones first. */
export function dataSegments(plan: Plan): Bytes | undefined {
  const { choices, memory } = plan;
  if (memory === undefined) return undefined;
  const content = (): number[] => Array.from({ length: choices.below(12) }, () => choices.below(256));
  const segments: Bytes[] = [];
  for (let left = plan.passiveData; left > 0; left--) {
    const bytes = content();
    segments.push(
      new Bytes()
        .raw(1)
        .u32(bytes.length)
        .raw(...bytes),
    );
  }
  for (let left = memory.min === 0 ? 0 : choices.below(3); left > 0; left--) {
    const bytes = content();
    const at = choices.once(100) ? 65_535 * 9 : choices.below(60_000);
    const segment = choices.once(2) ? new Bytes().raw(0) : new Bytes().raw(2, 0);
    segments.push(
      segment
        .raw(0x41)
        .s32(at)
        .raw(0x0b)
        .u32(bytes.length)
        .raw(...bytes),
    );
  }
  return new Bytes().list(segments, (one, _, into) => into.append(one));
}
