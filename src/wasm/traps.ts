import type { Exit } from "../backend.ts";
import { depthName } from "./meter/names.ts";

/** The traps of the specification by what the engines' messages have in common (V8, JavaScriptCore, SpiderMonkey). */
const trapPatterns: readonly [RegExp, string][] = [
  [/unreachable/i, "unreachable"],
  [/table index|out of bounds table|table access|out of bounds call_indirect|element segment/i, "out-of-bounds table access"],
  [/memory access out of bounds|out of bounds memory|index out of bounds|data segment/i, "out-of-bounds memory access"],
  [/(?:divide|division|remainder|modulo) by zero/i, "integer divide by zero"],
  // No engine tells a NaN from a number that is too large.
  [/float|trunc/i, "invalid conversion to integer"],
  [/divide result unrepresentable|integer overflow/i, "integer overflow"],
  [/null function|signature|call_indirect|indirect call/i, "indirect call type mismatch"],
  [/null/i, "null reference"],
];

/** Says how the tool ended when its code threw, or nothing where the throw is not the tool's own end. */
export function trapOf(error: unknown): Exit | undefined {
  if (error instanceof WebAssembly.RuntimeError) {
    const known = trapPatterns.find(([pattern]) => pattern.test(error.message));
    return { kind: "trapped", trap: known?.[1] ?? error.message.replace(/ \(evaluating .*$/s, "").slice(0, 200) };
  }
  if (error instanceof RangeError && /call stack|stack overflow|recursion/i.test(error.message))
    return { kind: "trapped", trap: "call stack exhausted" };
  if (error instanceof WebAssembly.Exception) return { kind: "trapped", trap: "uncaught exception" };
  return undefined;
}

/** As {@link trapOf}; where the stack is counted, an instance that ran out of it says so. */
export function trapOfInstance(error: unknown, instance: WebAssembly.Instance | undefined): Exit | undefined {
  const depth = instance?.exports[depthName];
  if (error instanceof WebAssembly.RuntimeError && depth instanceof WebAssembly.Global && depth.value < 0)
    return { kind: "trapped", trap: "call stack exhausted" };
  return trapOf(error);
}
