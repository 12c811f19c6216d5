import { shape } from "./opcodes.ts";
import { PathCost } from "./path-cost.ts";
import { noteStride } from "./notes.ts";
import { maxPaidByCaller, type FunctionScan, type Scan } from "./scan.ts";

/** Where charges go in the whole module. Indexed by defined function, by loop, or by break. */
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
  readonly breakCost: readonly number[];
}

/** A charge before each of more branches would make the code large. */
const maxChargedBranches = 4;

/**
 * Decides where fuel is charged.
 *
 * Each cycle of a run has a check. A loop has one on its way back. A function that calls has one that lies before all its calls
 * (its point), unless it and all that it calls make a finished sum without loops of calls, for which the callers
 * pay. So what a caller pays for is bounded, and what is not bounded is charged where it happens.
 *
 * Each charge is for the code behind it up to the next break, or to the end of what it stands for; breaks are where the scan
 * found that this would become too much.
 */
export function place(
  scan: Scan,
  functions: readonly FunctionScan[],
  imported: number,
  isAddressed: (defined: number) => boolean,
): Placement {
  const { paidByCaller, points } = new Payers(scan, functions, imported, isAddressed);
  const costs = new Costs(scan, imported, paidByCaller);
  for (const [index, one] of functions.entries()) costs.add(one, points[index]);
  return {
    point: points.map((point) => point?.note),
    pointCost: costs.ofPoint,
    paidByCaller,
    loopCost: costs.ofLoop,
    isChargedAtHeader: scan.loopBranches.map((branches) => branches > maxChargedBranches),
    breakCost: costs.ofBreak,
  };
}

/** Where a function charges itself, and, by note, where what is charged there ends: the end of the block that it lies in. */
interface Point {
  readonly note: number;
  readonly end: number;
}

const unseen = 0;
const open = 1;
const done = 2;

/** Who pays for each function's entry. */
class Payers {
  readonly paidByCaller: number[];
  readonly points: (Point | undefined)[];
  readonly #scan: Scan;
  readonly #functions: readonly FunctionScan[];
  readonly #imported: number;
  readonly #state: Uint8Array;
  /** Functions that must charge themselves: what is called through values, what calls itself, what has breaks. */
  readonly #mustCharge: boolean[];
  readonly #splits: (Split | undefined)[];

  constructor(scan: Scan, functions: readonly FunctionScan[], imported: number, isAddressed: (defined: number) => boolean) {
    this.#scan = scan;
    this.#functions = functions;
    this.#imported = imported;
    this.#splits = functions.map((one, index) => (isAddressed(index) ? undefined : findSplit(scan, one)));
    this.#mustCharge = functions.map(({ breaksFrom, breaksTo }, index) => isAddressed(index) || breaksTo > breaksFrom);
    this.paidByCaller = this.#splits.map((split) => split?.before ?? 0);
    this.points = functions.map(() => undefined);
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
    const whole = this.#mustCharge[index] === true ? Number.POSITIVE_INFINITY : this.#dearest(index) + 1;
    if (whole <= maxPaidByCaller) this.paidByCaller[index] = whole;
    else this.points[index] = this.#splits[index]?.point ?? { note: -1, end: -1 };
  }

  #dearest(index: number): number {
    const one = this.#functions[index];
    const whole = new Stretch(0);
    if (one === undefined) return 0;
    const paidFor = (target: number): number => this.paidByCaller[target - this.#imported] ?? 0;
    walk({ scan: this.#scan, one, paidFor }, (here) => whole.reach(here), noVisit);
    return whole.cost;
  }

  /** What a function's nth call calls: a defined function, or a negative number for an imported one. */
  #target(index: number, call: number): number | undefined {
    const { callsFrom, callsTo } = this.#functions[index] ?? { callsFrom: 0, callsTo: 0 };
    return callsFrom + call < callsTo ? (this.#scan.callTarget[callsFrom + call] ?? 0) - this.#imported : undefined;
  }
}

/** Sums up what each charge is for, function by function. */
class Costs {
  readonly ofPoint: number[] = [];
  readonly ofLoop: number[] = [];
  readonly ofBreak: number[] = [];
  readonly #scan: Scan;
  readonly #imported: number;
  readonly #paid: readonly number[];

  constructor(scan: Scan, imported: number, paid: readonly number[]) {
    this.#scan = scan;
    this.#imported = imported;
    this.#paid = paid;
  }

  add(one: FunctionScan, point: Point | undefined): void {
    /** Loops whose first segment is not at its end. */
    const begun: { readonly loop: number; readonly stretch: Stretch }[] = [];
    /** By open block: its loop, or -1. */
    const opened: number[] = [];
    let pointStretch = point?.note === -1 ? new Stretch(0) : undefined;
    let pointCost = 0;
    let segment: Stretch | undefined;
    const closeLoop = (): void => {
      const closed = begun.pop();
      if (closed === undefined) return;
      this.ofLoop[closed.loop] = closed.stretch.cost + 1;
      begun.at(-1)?.stretch.reach(closed.stretch.greatest);
    };
    const closePoint = (): void => {
      if (pointStretch !== undefined) pointCost = pointStretch.cost;
      pointStretch = undefined;
    };
    const reach = (here: number): void => {
      begun.at(-1)?.stretch.reach(here);
      pointStretch?.reach(here);
      segment?.reach(here);
    };
    walk({ scan: this.#scan, one, paidFor: this.#paidFor }, reach, (note, kind, here) => {
      if (note === point?.note) pointStretch = new Stretch(here);
      if (note === point?.end) closePoint();
      if (kind === shape.break) {
        closePoint();
        while (begun.length > 0) closeLoop();
        if (segment !== undefined) this.ofBreak.push(segment.cost);
        segment = new Stretch(here);
      } else if (kind === shape.loop) {
        const loop = this.ofLoop.push(1) - 1;
        begun.push({ loop, stretch: new Stretch(here) });
        opened.push(loop);
      } else if (isBlock(kind)) {
        opened.push(-1);
      } else if (kind === shape.end || kind === shape.delegate) {
        if ((opened.pop() ?? -1) === begun.at(-1)?.loop) closeLoop();
      }
    });
    closePoint();
    if (segment !== undefined) this.ofBreak.push(segment.cost);
    this.ofPoint.push(pointCost + 1);
  }

  readonly #paidFor = (target: number): number => this.#paid[target - this.#imported] ?? 0;
}

/** The cost from one place to the dearest one behind it. */
class Stretch {
  readonly #from: number;
  greatest: number;

  constructor(from: number) {
    this.#from = from;
    this.greatest = from;
  }

  reach(here: number): void {
    if (here > this.greatest) this.greatest = here;
  }

  get cost(): number {
    return this.greatest - this.#from;
  }
}

interface Walk {
  readonly scan: Scan;
  readonly one: FunctionScan;
  readonly paidFor: (target: number) => number;
  /** What lies from this point to its end costs nothing. */
  readonly without?: Point;
}

/** Visits a function's notes with the cost of the dearest way to each; `reach` hears of that cost wherever it is greatest. */
function walk(
  { scan, one: { notesFrom, notesTo, cost }, paidFor, without }: Walk,
  reach: (here: number) => void,
  visit: (note: number, kind: number, here: number) => void,
): void {
  const { values } = scan.notes;
  const path = new PathCost(scan.bytes);
  let before = 0;
  const add = (note: number, linear: number, kind: number = shape.end): void => {
    const isLeftOut = without !== undefined && note > without.note && (without.end === -1 || note <= without.end);
    if (!isLeftOut) path.add(linear - before);
    // At a break directly behind a block's end, the dearest way may be one that did not come through what the break closes.
    if (kind !== shape.break || linear > before) reach(path.current);
    before = linear;
  };
  for (let note = notesFrom; note < notesTo; note += noteStride) {
    const kind = values[note] ?? 0;
    const operand = values[note + 3] ?? 0;
    add(note, values[note + 4] ?? 0, kind);
    visit(note, kind, path.current);
    if (kind === shape.call || kind === shape.returnCall) {
      path.add(paidFor(operand));
      reach(path.current);
    }
    path.note(kind, values[note + 1] ?? 0, operand);
  }
  add(notesTo, cost);
}

/** A place in a function before all its calls and loops, and the cost of what can run without passing it. */
interface Split {
  readonly point: Point;
  readonly before: number;
}

/**
 * Finds the innermost block, or arm of one, that has all calls, loops and breaks of a function in it, and the last place in it
 * before the first of them. A function often ends before that: the last calls of a recursion, a check of its arguments.
 */
function findSplit(scan: Scan, one: FunctionScan): Split | undefined {
  const { notesFrom, notesTo } = one;
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
  const point = { note, end: common === 0 ? -1 : (closed[common] ?? -1) };
  const before = costWithout(scan, one, point);
  return before > maxPaidByCaller ? undefined : { point, before };
}

/** What the dearest way through a function costs, of which what is charged at its point is no part. */
function costWithout(scan: Scan, one: FunctionScan, point: Point): number {
  const whole = new Stretch(0);
  walk({ scan, one, paidFor: noPay, without: point }, (here) => whole.reach(here), noVisit);
  return whole.cost;
}

const noPay = (): number => 0;
const noVisit = (): void => undefined;

function closesArm(kind: number): boolean {
  return kind === shape.end || kind === shape.delegate || kind === shape.else || kind === shape.catch || kind === shape.catchAll;
}

function isHeavy(kind: number): boolean {
  return kind === shape.break || kind === shape.loop || (kind >= shape.call && kind <= shape.returnCallRef);
}

function isBlock(kind: number): boolean {
  return kind === shape.block || kind === shape.loop || kind === shape.if || kind === shape.try || kind === shape.tryTable;
}
