import { assert, nat, property, string } from "fast-check";
import { describe, expect, test } from "vitest";
import { BinaryError, encodeName } from "../../src/wasm/binary.ts";
import { readComponent } from "../../src/wasm/component/binary.ts";
import { checkCoreName, checkExternName } from "../../src/wasm/component/names.ts";
import { jcoTranspiler } from "../../src/wasm/component/jco/index.ts";
import { makeComponent } from "../../src/wasm/component/make.ts";
import { componentOf, guest, importing, makingOf } from "./support.ts";

const transpiler = jcoTranspiler();
const refuse = (bytes: Uint8Array, entry = "run"): Promise<unknown> => makeComponent(bytes, makingOf("refused"), { transpiler, entry });

/** Whether it is taken; an error that is no refusal goes through. */
function accepts(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch (error) {
    if (error instanceof BinaryError) return false;
    throw error;
  }
}

describe("imports", () => {
  test.each([
    "wasi:sockets/tcp@0.2.0",
    "wasi:sockets/udp-create-socket@0.2.3",
    "wasi:sockets/ip-name-lookup@0.2.0",
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:http/types@0.2.3",
    "wasi:keyvalue/store@0.2.0",
    "wasi:cli/environment@0.3.0",
    "wasi:cli/environment",
    "host:secret/api@1.0.0",
    "wasi:cli/constructor@0.2.0",
  ])("%s is refused by name", async (name) => {
    await expect(refuse(importing(name))).rejects.toMatchObject({ code: "ERR_IMPORT_DENIED", details: { name, kind: "instance" } });
  });

  test("a function from outside every interface is refused by name", async () => {
    const bytes = componentOf([7, [1, 0x40, 0, 1, 0]], [10, [1, 0, ...encodeName("secret"), 1, 0]]);
    await expect(refuse(bytes)).rejects.toMatchObject({ code: "ERR_IMPORT_DENIED", details: { name: "secret", kind: "function" } });
  });

  test("what is granted passes, and the next thing is asked for", async () => {
    await expect(refuse(importing("wasi:cli/environment@0.2.0"))).rejects.toMatchObject({ code: "ERR_ARTIFACT_INVALID" });
  });
});

describe("names that would leave a string literal of the generated code", () => {
  test.each(["names", "proto"])("the component %s is refused before jco sees it", async (name) => {
    await expect(refuse(guest(name))).rejects.toMatchObject({ code: "ERR_ARTIFACT_INVALID" });
    await expect(refuse(guest(name))).rejects.toThrow("uses the name");
    expect(process.env["ATTACKED"]).toBeUndefined();
  });

  test.each(["'", '"', "`", "\\", "\n", "\r", "\0", "\u2028", "\u2029", "\u007f", "ä", "a'b", "${`", "__proto__"])("%j", (name) => {
    expect(() => checkCoreName(name)).toThrow(BinaryError);
    expect(() => checkExternName(name)).toThrow(BinaryError);
  });

  test("no name that passes ends a string literal, or means something else in one", () => {
    const isSafe = (name: string): boolean => !accepts(() => checkCoreName(name)) || JSON.parse(`"${name}"`) === name;
    expect(() => assert(property(string({ unit: "binary", maxLength: 20 }), isSafe), { numRuns: 5000 })).not.toThrow();
    const misjudged: number[] = [];
    for (let code = 0; code < 0x10000; code++) {
      const name = String.fromCharCode(code);
      const isPlain = code >= 0x20 && code < 0x7f && !"'\"`\\".includes(name);
      if (accepts(() => checkCoreName(name)) !== isPlain) misjudged.push(code);
    }
    expect(misjudged).toEqual([]);
  });

  test.each([
    "run",
    "cabi_realloc",
    "wasi:io/streams@0.2.0",
    "[method]descriptor.open-at",
    "$imports",
    "_ZN4core3fmt$LT$impl$GT$17h0E",
    "componentize_qjs_runtime.wasm:memory_base",
    "",
  ])("the core name %j is plain", (name) => {
    expect(checkCoreName(name)).toBe(name);
  });

  test("are found in types, aliases, instances and nested components too", () => {
    const bad = encodeName("a'b");
    for (const sections of [
      [[7, [1, 0x72, 1, ...bad, 0x73]]],
      [[7, [1, 0x6d, 1, ...bad]]],
      [[7, [1, 0x71, 1, ...bad, 0, 0]]],
      [[7, [1, 0x40, 1, ...bad, 0x73, 1, 0]]],
      [[7, [1, 0x42, 1, 4, 0, ...bad, 1, 0]]],
      [[7, [1, 0x42, 1, 1, 0x6e, 1, ...bad]]],
      [[2, [1, 1, 1, ...bad, 0, 0]]],
      [[2, [1, 0, 0, 1, ...bad, 0x12, 0]]],
      [[5, [1, 1, 1, 0, ...bad, 1, 0]]],
      [[6, [1, 1, 0, 0, ...bad]]],
      [[6, [1, 0, 0, 1, 0, ...bad]]],
      [[10, [1, 0, ...bad, 1, 0]]],
      [[11, [1, 0, ...bad, 1, 0, 0]]],
      [[4, [...componentOf([11, [1, 0, ...bad, 1, 0, 0]])]]],
    ] as const) {
      expect(() => readComponent(componentOf(...sections))).toThrow("a'b");
    }
  });

  test("custom sections, where names may be anything, do not reach jco", () => {
    const custom = [...encodeName("component-name"), ...encodeName("a'];attack//")];
    const { bytes } = readComponent(componentOf([0, custom], [4, [...componentOf([0, custom])]]));
    expect(new TextDecoder("latin1").decode(bytes)).not.toContain("attack");
  });
});

describe("shape", () => {
  test("without an entry point is refused, and what it exports is named", async () => {
    const refusal = refuse(guest("text"), "other");
    await expect(refusal).rejects.toMatchObject({ code: "ERR_ARTIFACT_INVALID" });
    await expect(refusal).rejects.toThrow('"run"');
  });

  test("an export named then is no entry point", async () => {
    const bytes = componentOf([11, [1, 0, ...encodeName("then"), 1, 0, 0]]);
    await expect(refuse(bytes, "then")).rejects.toMatchObject({ code: "ERR_ARTIFACT_INVALID" });
  });

  test.each([[[9, [0]]], [[12, [0]]], [[3, [1, 0x50, 0]]], [[7, [1, 0x43, 0, 1, 0]]], [[99, []]]] as const)(
    "a section that WASI 0.2 does not use is refused: %j",
    async (section) => {
      await expect(refuse(componentOf(section))).rejects.toMatchObject({ code: "ERR_ARTIFACT_INVALID" });
    },
  );
});

describe("malformed components", () => {
  test("two thousand mutations are refused or read, and nothing else happens", () => {
    const original = guest("text");
    const isRead = (at: number, value: number, end: number): boolean => {
      const mutated = original.slice(0, end < original.length / 2 ? undefined : end);
      mutated[Math.min(at, mutated.length - 1)] = value;
      return typeof accepts(() => readComponent(mutated)) === "boolean";
    };
    const anywhere = property(nat(original.length - 1), nat(255), nat(original.length), isRead);
    expect(() => assert(anywhere, { numRuns: 2000 })).not.toThrow();
  });

  test("nesting without end is refused", () => {
    let nested = componentOf();
    for (let depth = 0; depth < 40; depth++) nested = componentOf([4, [...nested]]);
    expect(() => readComponent(nested)).toThrow(BinaryError);
    const types = Array.from({ length: 1000 }, () => [0x42, 1, 1]).flat();
    expect(() => readComponent(componentOf([7, [1, ...types]]))).toThrow(BinaryError);
  });

  test("what only jco sees to be wrong is refused by it", async () => {
    // An export of a function that there is none of.
    const bytes = componentOf([11, [1, 0, ...encodeName("run"), 1, 7, 0]]);
    await expect(refuse(bytes)).rejects.toMatchObject({ code: "ERR_ARTIFACT_INVALID" });
  });
});
