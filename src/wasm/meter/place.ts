import { maxCost, type FunctionScan, type Scan } from "./scan.ts";

/** How a loop's iterations are charged. */
export const charge = {
  /** From the fuel global, at each header. */
  global: 0,
  /** From credit that was taken from the global in one piece and is kept in a local. Only where nothing in the loop calls. */
  credit: 1,
} as const;

/** Where charges go in the whole module. Indexed by defined function, by region. */
export interface Placement {
  /** What a function charges at its own entry; 0 where its callers pay. */
  readonly entry: readonly number[];
  /** What a caller pays for an entry; 0 where the function charges itself. */
  readonly paidByCaller: readonly number[];
  /** By region of a loop. */
  readonly loopCost: readonly number[];
  readonly loopCharge: readonly number[];
}

/** The most that callers pay for a function that they may call in none of their branches. */
const maxPaidByCaller = 200;
/** Credit is taken in pieces of this size: what a trap or an exit inside a loop charges beyond what was run. */
export const creditPiece = 4096;
const maxCreditCost = creditPiece / 4;

const unseen = -1;
const open = -2;

/**
 * Decides where fuel is charged.
 *
 * Each cycle of a run has a check: a loop has one at its header; a cycle of calls goes through an entry that checks, since
 * callers pay only for functions whose own entry cost is a finished sum, and what is met again while its sum is made
 * charges itself.
 */
export function place(scan: Scan, functions: readonly FunctionScan[], imported: number, isAddressed: (defined: number) => boolean): Placement {
  const paid: number[] = functions.map(() => unseen);
  const entry: number[] = functions.map(() => 0);
  const mustPayItself: boolean[] = functions.map((_, index) => isAddressed(index));
  const targetsOf = (index: number): number[] => ownCalls(scan, functions[index], imported);

  for (let root = 0; root < functions.length; root++) {
    if (paid[root] !== unseen) continue;
    const stack: { readonly index: number; readonly targets: number[] }[] = [];
    const enter = (index: number): void => {
      paid[index] = open;
      stack.push({ index, targets: targetsOf(index) });
    };
    enter(root);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const target = top.targets.pop();
      if (target !== undefined) {
        if (paid[target] === open) mustPayItself[target] = true;
        else if (paid[target] === unseen) enter(target);
        continue;
      }
      stack.pop();
      const total = entrySum(scan, functions[top.index], imported, paid);
      const isPaid = mustPayItself[top.index] !== true && total <= maxPaidByCaller;
      paid[top.index] = isPaid ? total : 0;
      entry[top.index] = isPaid ? 0 : total;
    }
  }
  return { entry, paidByCaller: paid, ...placeLoops(scan, functions, imported, paid) };
}

/** The defined functions that a function's own region calls. */
function ownCalls(scan: Scan, one: FunctionScan | undefined, imported: number): number[] {
  if (one === undefined) return [];
  const targets: number[] = [];
  for (let call = one.callsFrom; call < one.callsTo; call++) {
    const target = (scan.callTarget[call] ?? 0) - imported;
    if (target >= 0 && scan.callRegion[call] === one.regionsFrom) targets.push(target);
  }
  return targets;
}

/** A function that is still open counts nothing here: it charges itself. */
function entrySum(scan: Scan, one: FunctionScan | undefined, imported: number, paid: readonly number[]): number {
  if (one === undefined) return 0;
  let sum = (scan.cost[one.regionsFrom] ?? 0) + 1;
  for (const target of ownCalls(scan, one, imported)) sum += Math.max(paid[target] ?? 0, 0);
  return Math.min(sum, maxCost);
}

function placeLoops(
  scan: Scan,
  functions: readonly FunctionScan[],
  imported: number,
  paid: readonly number[],
): Pick<Placement, "loopCost" | "loopCharge"> {
  const loopCost = scan.cost.map((cost) => cost + 1);
  for (const one of functions) {
    for (let call = one.callsFrom; call < one.callsTo; call++) {
      const region = scan.callRegion[call] ?? 0;
      const target = (scan.callTarget[call] ?? 0) - imported;
      loopCost[region] = Math.min((loopCost[region] ?? 0) + (target < 0 ? 0 : (paid[target] ?? 0)), maxCost);
    }
  }
  const loopCharge = loopCost.map((cost, region) => (scan.calls[region] !== true && cost <= maxCreditCost ? charge.credit : charge.global));
  return { loopCost, loopCharge };
}
