import { describe, expect, test } from "vitest";
import { checkpointName, fuelName, hostNamespace, meterModule } from "../../src/wasm/meter/index.ts";
import { assemble } from "./assemble.ts";
import { detectFeatures } from "./features.ts";

/** `try (return_call $host) catch_all end`: when the host is called, this function and its handler are gone. */
const inTry = [0x06, 0x40, 0x12, 0, 0x19, 0x0b];
const tailCall = assemble({ types: [{ params: [], results: [] }], imports: { fail: 0 }, functions: [{ type: 0, code: inTry }] });

function instanceOf(bytes: Uint8Array<ArrayBuffer>, grant = 1000): WebAssembly.Instance {
  const fail = (): never => {
    throw new Error("the host's");
  };
  const imports = { host: { fail }, [hostNamespace]: { [checkpointName]: () => grant } };
  return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
}

function call({ exports }: WebAssembly.Instance): unknown {
  return (exports["f0"] as () => unknown)();
}

describe.skipIf(!detectFeatures().tailCalls)("a host function that is called last", () => {
  for (const deterministic of [false, true]) {
    test(`is called from outside of the handlers around it (deterministic: ${deterministic})`, () => {
      expect(() => call(instanceOf(tailCall))).toThrow("the host's");
      expect(() => call(instanceOf(meterModule(tailCall, { deterministic }).bytes))).toThrow("the host's");
    });

    test(`is charged, once (deterministic: ${deterministic})`, () => {
      const instance = instanceOf(meterModule(tailCall, { deterministic, initialFuel: 1000 }).bytes);
      expect(() => call(instance)).toThrow("the host's");
      const used = 1000 - (instance.exports[fuelName] as WebAssembly.Global<"i32">).value;
      expect(used).toBeGreaterThanOrEqual(64);
      expect(used).toBeLessThan(100);
    });
  }
});
