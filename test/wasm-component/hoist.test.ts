import { assert, property, string } from "fast-check";
import { describe, expect, test } from "vitest";
import { hoistModules } from "../../src/wasm/component/jco/hoist.ts";
import { checkCoreName } from "../../src/wasm/component/names.ts";

const inline = "  const _own = new WebAssembly.Module(new Uint8Array([\n  0x00, 0x61, 0x73, 0x6d,\n  1, 0, 0, 0,\n  ]));\n";

describe("the modules that a generated script compiles by itself", () => {
  test("are taken out of it, in their order", () => {
    const { script, modules } = hoistModules(`a();\n${inline}b();\n${inline.replace("_own", "_other")}`);
    expect(script).toBe("a();\n  const _own = getCoreModule('inline0.wasm');\nb();\n  const _other = getCoreModule('inline1.wasm');\n");
    expect([...modules.keys()]).toEqual(["inline0.wasm", "inline1.wasm"]);
    for (const bytes of modules.values()) expect([...bytes]).toEqual([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  });

  test("are not looked for in names, which a component chooses", () => {
    const name = "const x = new WebAssembly.Module(new Uint8Array([1]));";
    expect(checkCoreName(name)).toBe(name);
    for (const script of [`  exports["${name}"];\n`, `  exports0['${name}'];\n`, `// ${name}\n`]) {
      expect(hoistModules(script)).toEqual({ script, modules: new Map() });
    }
  });

  test("are nothing else, whatever the script", () => {
    assert(
      property(string({ unit: "grapheme", maxLength: 200 }), (script) => {
        expect(hoistModules(script)).toEqual({ script, modules: new Map() });
      }),
    );
  });
});
