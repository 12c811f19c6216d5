import type { Choices } from "./choices.ts";
import { TypeTable, type FunctionType, type NumberType, type ValueType } from "./encoding.ts";
import type { Features } from "./features.ts";

export interface GeneratorOptions {
  readonly features: Features;
  /** `"counted"`: every function and every loop that could go on counts down a global and leaves at 0. `"maybe never"`: none does. */
  readonly ends: "counted" | "maybe never";
  /** `"canonical"`: the module itself makes every NaN that arithmetic gives the canonical one. */
  readonly nans: "any" | "canonical";
  /**
   * `"loops"`: one function of little but loops that count, in which nothing calls. `"calls"`: small functions that call each other
   * on some of the ways through them.
   */
  readonly subject?: "loops" | "calls";
}

export interface PlannedFunction extends FunctionType {
  readonly typeIndex: number;
  /** Of an imported function. `reenter` calls one of the module's exports. */
  readonly host?: "log" | "reenter";
  /** Ends by itself: it calls nothing but such functions that come before it, and has no steps to count. */
  readonly isLeaf?: true;
  /** Whether tables and references may have it. */
  readonly isAddressable: boolean;
}

export interface PlannedGlobal {
  readonly type: ValueType;
  readonly isMutable: boolean;
  readonly isImported: boolean;
  /** Belongs to the instrumentation: the code at large only reads it. */
  readonly isReserved: boolean;
  readonly exportName?: string;
}

export interface PlannedTable {
  readonly type: "funcref" | "externref";
  readonly min: number;
  readonly max?: number;
}

export interface Limits {
  readonly min: number;
  readonly max?: number;
}

/** What a module has, decided before its code is written. */
export interface Plan {
  readonly options: GeneratorOptions;
  readonly choices: Choices;
  readonly types: TypeTable;
  /** The imported ones first. */
  readonly functions: PlannedFunction[];
  /** The imported ones first. */
  readonly globals: readonly PlannedGlobal[];
  readonly tables: readonly PlannedTable[];
  readonly memory?: Limits;
  /** The parameters of each. The first is imported where {@link importsTag} is set. */
  readonly tags: readonly (readonly ValueType[])[];
  readonly importsTag: boolean;
  /** Indexes of globals. */
  readonly steps: number;
  readonly work: number;
  readonly most: number;
  /** Whether the code adds up in the global `work` the cost of what it executes. */
  readonly isInstrumented: boolean;
  /** Whether the code adds up in the global `most` the most that it may have cost. It has no operations that cost by their length then. */
  readonly isBounded: boolean;
  /** What happens when the steps are used up. */
  readonly atLastStep: "leave" | "trap";
  /** Where there are any, they say of which kinds most statements are, so that few kinds meet each other often. */
  readonly focus: readonly number[];
  /** Which of the two, for an engine that has both. */
  readonly exceptions: "old" | "new" | "none";
  /** Whether numbers are written longer than they need be, here and there. */
  readonly isPadded: boolean;
  /** Whether it may have code of some kilobytes in one piece. */
  readonly isLarge: boolean;
  /** Whether functions call only those before them, and so need not count down. */
  readonly isAcyclic: boolean;
  /** How many segments are passive, and can be named by instructions. */
  readonly passiveData: number;
  readonly passiveElements: number;
  readonly hasStart: boolean;
  /** Functions that `ref.func` names, and so must be declared. */
  readonly referenced: Set<number>;
}

/** The steps that a module that counts them may make in one call. */
export const stepsOfCall = 160;

export const numberTypes: readonly NumberType[] = ["i32", "i64", "f32", "f64", "v128"];
const commonTypes: readonly ValueType[] = [
  "i32",
  "i32",
  "i32",
  "i32",
  "i64",
  "i64",
  "f32",
  "f64",
  "i32",
  "i64",
  "v128",
  "funcref",
  "externref",
];
const scalarTypes: readonly ValueType[] = ["i32", "i64", "f32", "f64"];

export function pickType(choices: Choices): ValueType {
  return choices.pick(commonTypes);
}

export function pickTypes(choices: Choices, most: number): ValueType[] {
  return Array.from({ length: choices.below(most + 1) }, () => pickType(choices));
}

function pickScalars(choices: Choices, most: number): ValueType[] {
  return Array.from({ length: choices.below(most + 1) }, () => choices.pick(scalarTypes));
}

const exportNames = ["g", "", "__proto__", "then", "constructor", "memory ", "fuel", "toolruntime", "\u0000", "\u{1f525}", "checkpoint"];

function planGlobals(choices: Choices): { globals: PlannedGlobal[]; steps: number; work: number; most: number } {
  const imported = Array.from({ length: choices.once(4) ? choices.below(3) : 0 }, (): PlannedGlobal => {
    return { type: choices.pick(scalarTypes), isMutable: choices.once(2), isImported: true, isReserved: false };
  });
  const own = Array.from({ length: choices.below(5) }, (_, index): PlannedGlobal => {
    const isExported = choices.once(2);
    const exportName = { exportName: `${choices.pick(exportNames)}${index}` };
    return {
      type: pickType(choices),
      isMutable: choices.mostly(4),
      isImported: false,
      isReserved: false,
      ...(isExported ? exportName : {}),
    };
  });
  const counter = (type: ValueType, exportName: string): PlannedGlobal => {
    return { type, isMutable: true, isImported: false, isReserved: true, exportName };
  };
  const globals = [...imported, counter("i32", "steps"), counter("i64", "work"), counter("i64", "most"), ...own];
  return { globals, steps: imported.length, work: imported.length + 1, most: imported.length + 2 };
}

function planTables(choices: Choices): PlannedTable[] {
  return Array.from({ length: choices.below(4) }, (_, index): PlannedTable => {
    const min = choices.once(4) ? choices.below(4) : choices.between(4, 9);
    const type = index > 0 && choices.once(3) ? "externref" : "funcref";
    return choices.once(2) ? { type, min } : { type, min, max: min + choices.below(20) };
  });
}

function planMemory(choices: Choices): { memory?: Limits } {
  if (choices.once(8)) return {};
  const min = choices.pick([1, 1, 2, 0]);
  return { memory: choices.once(3) ? { min } : { min, max: min + choices.below(4) } };
}

function planFunctions(choices: Choices, types: TypeTable): PlannedFunction[] {
  const imported = Array.from({ length: choices.below(4) }, (_, index): PlannedFunction => {
    const host = index > 0 && choices.once(2) ? "reenter" : "log";
    const params = host === "log" ? pickScalars(choices, 3) : [];
    const results = host === "log" ? pickScalars(choices, 2) : [];
    return { params, results, host, typeIndex: types.index(params, results), isAddressable: choices.once(2) };
  });
  const leaves = Array.from({ length: choices.below(4) }, (): PlannedFunction => {
    const params = pickScalars(choices, 3);
    const results: ValueType[] = [choices.pick(scalarTypes)];
    return { params, results, isLeaf: true, typeIndex: types.index(params, results), isAddressable: choices.once(4) };
  });
  const others = Array.from({ length: choices.between(1, 6) }, (): PlannedFunction => {
    const params = pickTypes(choices, 4);
    const results = pickTypes(choices, choices.once(2) ? 3 : 1);
    return { params, results, typeIndex: types.index(params, results), isAddressable: choices.once(2) };
  });
  return [...imported, ...leaves, ...others];
}

function planLoops(types: TypeTable): PlannedFunction {
  const params: ValueType[] = ["i32", "i32", "i64"];
  const results: ValueType[] = ["i32", "i64"];
  return { params, results, typeIndex: types.index(params, results), isAddressable: false };
}

const smallTypes: readonly FunctionType[] = [
  { params: ["i32"], results: ["i32"] },
  { params: ["i32"], results: [] },
  { params: ["i32", "i32"], results: ["i32"] },
  { params: [], results: [] },
];

function planCalls(choices: Choices, types: TypeTable): PlannedFunction[] {
  const plain = (isAddressable: boolean): PlannedFunction => {
    const type = choices.pick(smallTypes);
    return { ...type, typeIndex: types.index(type.params, type.results), isAddressable };
  };
  const imported: PlannedFunction[] = choices.once(2) ? [{ ...plain(choices.once(3)), host: "log" }] : [];
  return [...imported, ...Array.from({ length: choices.between(2, 6) }, () => plain(choices.once(4)))];
}

export function makePlan(choices: Choices, options: GeneratorOptions): Plan {
  const { features } = options;
  const types = new TypeTable();
  const functions = planFunctions(choices, types);
  const exceptions = planExceptions(choices, features);
  const tags = exceptions === "none" ? [] : Array.from({ length: choices.between(1, 3) }, () => pickScalars(choices, 2));
  const { memory } = planMemory(choices);
  if (options.subject === "loops") functions.splice(0, functions.length, planLoops(types));
  if (options.subject === "calls") functions.splice(0, functions.length, ...planCalls(choices, types));
  const hasStart = choices.once(8) && options.subject === undefined;
  if (hasStart) functions.push({ params: [], results: [], typeIndex: types.index([], []), isAddressable: false });
  return {
    options,
    choices,
    types,
    functions,
    ...planGlobals(choices),
    tables: planTables(choices),
    ...(memory === undefined ? {} : { memory }),
    tags,
    importsTag: tags.length > 0 && choices.once(4),
    isInstrumented: choices.mostly(3),
    isBounded: choices.once(3),
    atLastStep: choices.once(4) ? "trap" : "leave",
    focus: Array.from({ length: choices.mostly(4) ? choices.between(1, 4) : 0 }, () => choices.below(1000)),
    exceptions,
    isPadded: choices.once(6),
    isLarge: choices.once(6),
    isAcyclic: choices.once(options.subject === "calls" ? 2 : 6),
    passiveData: memory === undefined ? 0 : choices.below(3),
    passiveElements: choices.below(3),
    hasStart,
    referenced: new Set(),
  };
}

function planExceptions(choices: Choices, { exceptions, oldExceptions }: Features): Plan["exceptions"] {
  const kind = choices.pick(["none", "new", "old"] as const);
  if (kind === "new") return exceptions ? "new" : "none";
  return kind === "old" && oldExceptions ? "old" : "none";
}
