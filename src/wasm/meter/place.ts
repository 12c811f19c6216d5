import { shape } from "./opcodes.ts";
import { maxCost, noteStride, type FunctionScan, type Scan } from "./scan.ts";

/** Where charges go in the whole module. Indexed by defined function, or by loop. */
export interface Placement {
  /** The note before which a function charges itself: -1 its very beginning; undefined where it never does. */
  readonly point: readonly (number | undefined)[];
  readonly pointCost: readonly number[];
  /** What a caller pays for a call. */
  readonly paidByCaller: readonly number[];
  /** What an iteration costs; the first is charged with what is around the loop. */
  readonly loopCost: readonly number[];
  /** Where a charge cannot, or should not, stand before each branch back. */
  readonly isChargedAtHeader: readonly boolean[];
}

/** The most that callers pay for what a function may do before it charges itself. */
const maxPaidByCaller = 250;
/** A charge before each of more branches would make the code large. */
const maxChargedBranches = 4;

/**
 * Decides where fuel is charged.
 *
 * Each cycle of a run has a check. A loop has one on its way back. A function that calls has one that lies before all its calls
 * (its point), unless it and all that it calls make a finished sum without loops of calls, for which the callers
 * pay. So what a caller pays for is bounded, and what is not bounded is charged where it happens.
 */
export function place(
  scan: Scan,
  functions: readonly FunctionScan[],
  imported: number,
  isAddressed: (defined: number) => boolean,
): Placement {
  const sums = new Sums(scan, functions, imported, isAddressed);
  const loopCost = scan.loopCost.map((own) => own + 1);
  const called = scan.loopCost.map(() => 0);
  for (const [call, target] of scan.callTarget.entries()) {
    const loop = scan.callLoop[call] ?? -1;
    if (loop >= 0) called[loop] = Math.min((called[loop] ?? 0) + (sums.paidByCaller[target - imported] ?? 0), maxCost);
  }
  // Inner loops come after those around them, and hand on what is complete.
  for (let loop = loopCost.length - 1; loop >= 0; loop--) {
    const around = scan.loopAround[loop] ?? -1;
    const paid = called[loop] ?? 0;
    loopCost[loop] = Math.min((loopCost[loop] ?? 0) + paid, maxCost);
    if (around >= 0) called[around] = Math.min((called[around] ?? 0) + paid, maxCost);
  }
  return {
    point: sums.point,
    pointCost: sums.pointCost,
    paidByCaller: sums.paidByCaller,
    loopCost,
    isChargedAtHeader: scan.loopBranches.map((branches) => branches > maxChargedBranches),
  };
}

const unseen = 0;
const open = 1;
const done = 2;

class Sums {
  readonly point: (number | undefined)[];
  readonly pointCost: number[];
  readonly paidByCaller: number[];
  readonly #scan: Scan;
  readonly #functions: readonly FunctionScan[];
  readonly #imported: number;
  readonly #state: Uint8Array;
  /** Functions that must charge themselves: what is called through values, and what calls itself. */
  readonly #mustCharge: boolean[];
  readonly #splits: (Split | undefined)[];

  constructor(scan: Scan, functions: readonly FunctionScan[], imported: number, isAddressed: (defined: number) => boolean) {
    this.#scan = scan;
    this.#functions = functions;
    this.#imported = imported;
    this.#mustCharge = functions.map((_, index) => isAddressed(index));
    this.#splits = functions.map((one, index) => (this.#mustCharge[index] === true ? undefined : findSplit(scan, one)));
    this.paidByCaller = this.#splits.map((split) => split?.before ?? 0);
    this.point = functions.map(() => undefined);
    this.pointCost = functions.map(() => 0);
    this.#state = new Uint8Array(functions.length);
    for (let root = 0; root < functions.length; root++) if (this.#state[root] === unseen) this.#sumFrom(root);
  }

  /** Depth first, with a stack of its own: a chain of calls may be as long as there are functions. */
  #sumFrom(root: number): void {
    const stack = [this.#enter(root)];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const target = this.#target(top.index, top.call++);
      if (target === undefined) {
        stack.pop();
        this.#finish(top.index);
      } else if (this.#state[target] === open) {
        this.#mustCharge[target] = true;
      } else if (this.#state[target] === unseen) {
        stack.push(this.#enter(target));
      }
    }
  }

  #enter(index: number): { readonly index: number; call: number } {
    this.#state[index] = open;
    return { index, call: 0 };
  }

  /** A function that is still open here charges itself, and its callers pay for what comes before its point. */
  #finish(index: number): void {
    this.#state[index] = done;
    const cost = (this.#functions[index]?.cost ?? 0) + 1;
    let called = 0;
    for (let call = 0; ; call++) {
      const target = this.#target(index, call);
      if (target === undefined) break;
      called += this.paidByCaller[target] ?? 0;
    }
    const whole = Math.min(cost + called, maxCost);
    if (this.#mustCharge[index] !== true && whole <= maxPaidByCaller) {
      this.paidByCaller[index] = whole;
      return;
    }
    const split = this.#splits[index];
    this.point[index] = split?.note ?? -1;
    this.pointCost[index] = whole - (split?.before ?? 0);
  }

  /** What a function's nth call calls: a defined function, or a negative number for an imported one. */
  #target(index: number, call: number): number | undefined {
    const { callsFrom, callsTo } = this.#functions[index] ?? { callsFrom: 0, callsTo: 0 };
    return callsFrom + call < callsTo ? (this.#scan.callTarget[callsFrom + call] ?? 0) - this.#imported : undefined;
  }
}

/** A place in a function before all its calls and loops, and the cost of what can run without passing it. */
interface Split {
  readonly note: number;
  readonly before: number;
}

/**
 * Finds the innermost block, or arm of one, that has all calls and loops of a function in it, and the last place in it before
 * the first of them. A function often ends before that: the last calls of a recursion, a check of its arguments.
 */
function findSplit(scan: Scan, { notesFrom, notesTo, cost }: FunctionScan): Split | undefined {
  const { values } = scan.notes;
  /** By open block: the note that opened it. */
  const opened: number[] = [];
  /** The blocks around the first call or loop, and where the arms of them were closed that it is in. */
  let path: number[] | undefined;
  const closed: number[] = [];
  let depth = 0;
  let common = 0;
  let stillOpen = 0;
  for (let note = notesFrom; note < notesTo; note += noteStride) {
    const kind = values[note] ?? 0;
    if (closesArm(kind)) {
      if (path !== undefined && depth <= stillOpen) {
        closed[depth] = note;
        stillOpen = depth - 1;
      }
      if (kind === shape.end || kind === shape.delegate) depth--;
    }
    if (isHeavy(kind)) {
      if (path === undefined) {
        path = [...opened.slice(0, depth), note];
        common = stillOpen = depth;
      } else {
        common = Math.min(common, stillOpen);
      }
    }
    if (isBlock(kind)) opened[depth++] = note;
  }
  const note = path?.[common];
  if (note === undefined) return undefined;
  const from = values[note + 4] ?? 0;
  const to = common === 0 ? cost : (values[(closed[common] ?? 0) + 4] ?? 0);
  const before = cost - (to - from);
  return before > maxPaidByCaller ? undefined : { note, before };
}

function closesArm(kind: number): boolean {
  return kind === shape.end || kind === shape.delegate || kind === shape.else || kind === shape.catch || kind === shape.catchAll;
}

function isHeavy(kind: number): boolean {
  return kind === shape.loop || (kind >= shape.call && kind <= shape.returnCallRef);
}

function isBlock(kind: number): boolean {
  return kind === shape.block || kind === shape.loop || kind === shape.if || kind === shape.try || kind === shape.tryTable;
}
