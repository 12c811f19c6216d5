import type { Exit } from "../backend.ts";
import { depthName } from "./meter/index.ts";

/** The traps of the specification by what the engines' messages have in common (V8, JavaScriptCore, SpiderMonkey). */
const trapPatterns: readonly [RegExp, string][] = [
  [/unreachable/i, "unreachable"],
  [/memory access out of bounds|out of bounds memory|index out of bounds/i, "out-of-bounds memory access"],
  [/table index is out of bounds|out of bounds table|table access/i, "out-of-bounds table access"],
  [/(?:divide|division|remainder|modulo) by zero/i, "integer divide by zero"],
  [/divide result unrepresentable|integer overflow|unrepresentable/i, "integer overflow"],
  [/null function|signature mismatch|indirect call/i, "indirect call type mismatch"],
  [/float|truncat/i, "invalid conversion to integer"],
  [/null/i, "null reference"],
];

/** Says how the tool ended when its code threw, or nothing where the throw is not the tool's own end. */
export function trapOf(error: unknown): Exit | undefined {
  if (error instanceof WebAssembly.RuntimeError) {
    const known = trapPatterns.find(([pattern]) => pattern.test(error.message));
    return { kind: "trapped", trap: known?.[1] ?? error.message.slice(0, 200) };
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
