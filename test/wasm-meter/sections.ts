import type { Choices } from "./choices.ts";
import { Bytes, moduleHeader, writeType, type FunctionType, type ValueType } from "./encoding.ts";
import type { Limits, Plan } from "./plan.ts";
import { dataSegments, elementSegments, writeConstant } from "./segments.ts";

export interface Code {
  readonly type: FunctionType;
  /** Without the parameters. */
  readonly locals: readonly ValueType[];
  readonly code: Bytes;
}

/** The namespace of what the host gives. */
export const hostName = "host";

/** Puts the sections together. The wrappers come after the functions that the plan knows, and are exported as `call0` and so on. */
export function writeModule(plan: Plan, codes: readonly Code[], wrappers: readonly Code[]): Uint8Array<ArrayBuffer> {
  const { choices, types } = plan;
  const functions = [...codes, ...wrappers].map(({ type }) => types.index(type.params, type.results));
  const tags = plan.tags.map((params) => types.index(params, []));
  const imports = importSection(plan, tags);
  const globals = plan.globals.filter(({ isImported }) => !isImported);
  const elements = elementSegments(plan);
  const data = dataSegments(plan);
  const code = new Bytes().list([...codes, ...wrappers], (one, index, into) =>
    into.sized(writeCode(choices, one), plan.isPadded ? index % 4 : 0),
  );
  const sections: readonly (readonly [id: number, content: Bytes | undefined])[] = [
    [1, new Bytes().list(types.all, writeFunctionType)],
    [2, imports],
    [3, new Bytes().list(functions, (index, _, into) => into.u32(index))],
    [4, plan.tables.length === 0 ? undefined : new Bytes().list(plan.tables, (table, _, into) => writeTable(plan, table, into))],
    [5, plan.memory && new Bytes().list([plan.memory], (memory, _, into) => writeLimits(memory, into))],
    [13, tagSection(plan.importsTag ? tags.slice(1) : tags)],
    [
      6,
      new Bytes().list(globals, ({ type, isMutable, exportName }, _, into) => {
        writeType(into, type);
        into.raw(isMutable ? 1 : 0);
        writeConstant(plan, type, exportName, into);
      }),
    ],
    [7, exportSection(plan, wrappers.length)],
    [8, plan.hasStart ? new Bytes().u32(plan.functions.length - 1) : undefined],
    [9, elements],
    [12, data && new Bytes().u32(data.out[0] ?? 0)],
    [10, code],
    [11, data],
  ];
  const bytes = new Bytes().raw(...moduleHeader);
  for (const [id, content] of sections) {
    if (choices.once(40)) bytes.raw(0).sized(new Bytes().name(choices.pick(["name", "x", "producers"])).raw(1, 2, 3));
    if (content !== undefined) bytes.raw(id).sized(content, plan.isPadded ? choices.below(3) : 0);
  }
  return Uint8Array.from(bytes.out);
}

function writeFunctionType({ params, results }: FunctionType, _: number, into: Bytes): void {
  into.raw(0x60);
  for (const types of [params, results]) into.list(types, (type) => writeType(into, type));
}

function writeLimits({ min, max }: Limits, into: Bytes): void {
  into.raw(max === undefined ? 0 : 1).u32(min);
  if (max !== undefined) into.u32(max);
}

function writeTable({ choices, options }: Plan, { type, ...limits }: Limits & { readonly type: ValueType }, into: Bytes): void {
  const isInitialised = options.features.functionReferences && choices.once(12);
  if (isInitialised) into.raw(0x40, 0);
  writeType(into, type);
  writeLimits(limits, into);
  if (isInitialised) into.raw(0xd0, type === "funcref" ? 0x70 : 0x6f, 0x0b);
}

function tagSection(types: readonly number[]): Bytes | undefined {
  return types.length === 0 ? undefined : new Bytes().list(types, (type, _, into) => into.raw(0).u32(type));
}

function importSection(plan: Plan, tags: readonly number[]): Bytes | undefined {
  const entry = (name: string, write: (into: Bytes) => void): Bytes => {
    const into = new Bytes().name(hostName).name(name);
    write(into);
    return into;
  };
  const functions = plan.functions
    .filter(({ host }) => host !== undefined)
    .map((one, index) => entry(`f${index}`, (into) => into.raw(0).u32(one.typeIndex)));
  const globals = plan.globals
    .filter(({ isImported }) => isImported)
    .map((one, index) =>
      entry(`g${index}`, (into) => {
        into.raw(3);
        writeType(into, one.type);
        into.raw(one.isMutable ? 1 : 0);
      }),
    );
  const tag = plan.importsTag ? [entry("tag", (into) => into.raw(4, 0).u32(tags[0] ?? 0))] : [];
  const all = plan.choices.once(2) ? [...functions, ...globals, ...tag] : [...tag, ...globals, ...functions];
  return all.length === 0 ? undefined : new Bytes().list(all, (one, _, into) => into.append(one));
}

function exportSection(plan: Plan, wrappers: number): Bytes {
  const exported: [name: string, kind: number, index: number][] = [];
  const imported = plan.functions.filter(({ host }) => host !== undefined).length;
  for (let index = 0; index < wrappers; index++) {
    exported.push([`call${index}`, 0, plan.functions.length + index]);
    if (plan.choices.once(3)) exported.push([`raw${index}`, 0, imported + index]);
  }
  if (plan.memory !== undefined) exported.push(["memory", 2, 0]);
  for (const [index, { exportName }] of plan.globals.entries()) if (exportName !== undefined) exported.push([exportName, 3, index]);
  for (const index of plan.tables.keys()) if (plan.choices.once(3)) exported.push([`table${index}`, 1, index]);
  for (const index of plan.tags.keys()) exported.push([`tag${index}`, 4, index]);
  return new Bytes().list(exported, ([name, kind, index], _, into) => into.name(name).raw(kind).u32(index));
}

/** The groups of locals: each run of one type, or split, or with a group of none of them. */
function writeCode(choices: Choices, { locals, code }: Code): Bytes {
  const groups: { type: ValueType; count: number }[] = [];
  for (const type of locals) {
    const last = groups.at(-1);
    if (last?.type === type && choices.mostly(6)) last.count++;
    else groups.push({ type, count: 1 });
  }
  if (choices.once(20)) groups.push({ type: "f64", count: 0 });
  return new Bytes()
    .list(groups, ({ type, count }, _, into) => {
      into.u32(count);
      writeType(into, type);
    })
    .append(code);
}
