import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assertDigest } from "../../src/internal/digest.ts";
import { defineTool, parseManifest, type ManifestInput } from "../../src/tool.ts";
import { codeOf, errorOf, manifestWith, toolWith } from "./support.ts";

/** A manifest from somebody who does not use our types. */
function untyped(changes: Record<string, unknown>): ManifestInput {
  return JSON.parse(JSON.stringify({ ...manifestWith(), ...changes }));
}

describe("unknown keys", () => {
  test.each<[Record<string, unknown>, string, string]>([
    [{ inputSchemas: {} }, "inputSchemas", "inputSchema"],
    [{ resources: { memroy: "1Mi" } }, "memroy", "memory"],
    [{ permissions: { netwrok: [] } }, "netwrok", "network"],
    [{ annotations: { readonlyHint: true } }, "readonlyHint", "readOnlyHint"],
    [{ artifacts: { wsam: {} } }, "wsam", "wasm"],
    [{ artifacts: { wasm: { digset: "x" } } }, "digset", "digest"],
    [{ artifacts: { command: { argv: ["a"], arvg: [] } } }, "arvg", "argv"],
  ])("%j is refused and %s is taken for %s", async (changes, key, meant) => {
    const { code, message } = await errorOf(defineTool(untyped(changes)));
    expect([code, message.includes(JSON.stringify(key)), message.includes(JSON.stringify(meant))]).toEqual([
      "ERR_MANIFEST_INVALID",
      true,
      true,
    ]);
  });

  test("an unknown key in an example is refused", async () => {
    expect(await codeOf(defineTool(untyped({ examples: [{ inptu: 1 }] })))).toBe("ERR_MANIFEST_INVALID");
  });

  test("a key as long as a book costs nothing", async () => {
    const before = performance.now();
    expect(await codeOf(defineTool(untyped({ ["x".repeat(5_000_000)]: 1 })))).toBe("ERR_MANIFEST_INVALID");
    expect(performance.now() - before).toBeLessThan(2000);
  });
});

describe("values", () => {
  test.each<Record<string, unknown>>([
    ...["", "A", "1a", "a_b", "a b", "a/b", "../a", "a".repeat(64), "é", "__proto__", 1, null].map((name) => ({ name })),
    ...["", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0-..", "1.0.0-01", "1.0.0+", "^1.0.0", "1.0.0 ", "1.0.x"].map(
      (version) => ({ version }),
    ),
    ...["", 1, null, "x".repeat(4001)].map((description) => ({ description })),
    ...[1, "object", null, []].map((inputSchema) => ({ inputSchema })),
    ...[{}, null, [], { wasm: 1 }, { command: {} }, { command: { argv: [] } }, { command: { argv: "ls" } }, { command: { argv: [1] } }].map(
      (artifacts) => ({ artifacts }),
    ),
    ...["", "sha256:", "sha256:zz", `sha256:${"A".repeat(64)}`, `md5:${"a".repeat(64)}`, `sha256:${"a".repeat(65)}`].map((digest) => ({
      artifacts: { wasm: { digest } },
    })),
    ...["wasi", "wasi-p2", "", 1].map((abi) => ({ artifacts: { wasm: { abi } } })),
    ...["1e3", "-1", 0, "64mi", null, {}].map((memory) => ({ resources: { memory } })),
  ])("%j is ERR_MANIFEST_INVALID", async (changes) => {
    expect(await codeOf(defineTool(untyped(changes)))).toBe("ERR_MANIFEST_INVALID");
  });

  test.each<unknown>([undefined, null, 1, "x", [], true])("a manifest that is %j is refused", async (manifest) => {
    expect(await codeOf(() => parseManifest(manifest))).toBe("ERR_MANIFEST_INVALID");
  });

  test("an artifact without a value is none", async () => {
    const artifacts: ManifestInput["artifacts"] = Object.assign({}, { wasm: undefined });
    expect(await codeOf(defineTool(manifestWith({ artifacts })))).toBe("ERR_MANIFEST_INVALID");
  });

  test("what is no JSON is refused, and so is what is nested without end", async () => {
    let deep: Record<string, unknown> = {};
    for (let level = 0; level < 50_000; level++) deep = { properties: deep };
    const cycle: Record<string, unknown> = {};
    cycle["a"] = cycle;
    cycle["b"] = cycle;
    for (const inputSchema of [deep, cycle, { default: 1n }, { default: () => 1 }, { minimum: Number.NaN }]) {
      expect(await codeOf(defineTool(manifestWith({ inputSchema })))).toBe("ERR_MANIFEST_INVALID");
    }
  });

  test("resources are read as plain numbers", async () => {
    const { resources } = await toolWith({ resources: { memory: "64Mi", timeout: "1m30s", cpu: "500m" } });
    expect(resources).toEqual({ memory: 67_108_864, timeout: 90_000, cpu: 0.5 });
  });
});

describe("schemas", () => {
  test.each<Record<string, unknown>>([
    { type: "strin" },
    { type: 5 },
    { type: [] },
    { properties: 3 },
    { properties: { a: 1 } },
    { properties: { a: { type: "nope" } } },
    { items: [{ type: "string" }] },
    { allOf: {} },
    { anyOf: [] },
    { oneOf: [1] },
    { required: "a" },
    { required: [1] },
    { enum: 3 },
    { pattern: "(" },
    { properties: { a: { pattern: "[" } } },
    { patternProperties: { "(": {} } },
    { minLength: -1 },
    { maxItems: 1.5 },
    { minimum: "1" },
    { multipleOf: 0 },
    { uniqueItems: "yes" },
    { dependentRequired: { a: "b" } },
    { $ref: 5 },
    { $ref: "#/nope" },
    { $ref: "#/$defs/nope" },
    { $ref: "https://example.org/other" },
    { properties: { a: { $ref: "#/$defs/nope" } } },
    { $defs: { a: { items: { $ref: "#/$defs/b" } } } },
    { $ref: "#" },
    { allOf: [{ $ref: "#" }] },
    { $id: "http://[" },
  ])("%j cannot be used, as input or as output", async (schema) => {
    expect(await codeOf(toolWith({ inputSchema: schema }))).toBe("ERR_MANIFEST_INVALID");
    expect(await codeOf(toolWith({ outputSchema: schema }))).toBe("ERR_MANIFEST_INVALID");
  });

  test("what refers to itself without end where a value has come is the manifest's fault too", async () => {
    const tool = await toolWith({ inputSchema: { properties: { a: { $ref: "#/properties/a" } } } });
    expect(tool.checkInput({})).toBeUndefined();
    expect(await codeOf(() => tool.checkInput({ a: 1 }))).toBe("ERR_MANIFEST_INVALID");
  });

  test.each<[Record<string, unknown> | boolean, unknown, unknown]>([
    [{ type: "object", properties: { a: { type: "string" } }, required: ["a"], additionalProperties: false }, { a: "x" }, { a: 1 }],
    [{ $defs: { n: { type: "integer" } }, items: { $ref: "#/$defs/n" } }, [1], [1.5]],
    [{ $defs: { n: { $anchor: "number", type: "number" } }, $ref: "#number" }, 1, "1"],
    [
      { type: "object", properties: { left: { $ref: "#" }, value: { type: "number" } } },
      { left: { left: { value: 1 } } },
      { left: { value: "x" } },
    ],
    [{ prefixItems: [{ type: "string" }], items: false }, ["a"], ["a", 1]],
    // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
    [{ if: { required: ["a"] }, then: { required: ["b"] } }, {}, { a: 1 }],
    [{ pattern: "^\\p{L}+$" }, "é", "1"],
    [{ dependentRequired: { a: ["b"] } }, { b: 1 }, { a: 1 }],
    [
      { title: "x", description: "y", "x-custom": { type: 5 }, default: { properties: 1 }, examples: [1], enum: [{ type: 5 }] },
      { type: 5 },
      1,
    ],
    [{ properties: { properties: { type: "number" }, $ref: { type: "string" } } }, { properties: 1, $ref: "x" }, { properties: "x" }],
  ])("%j takes what fits and refuses what does not", async (schema, good, bad) => {
    const tool = await toolWith({ inputSchema: schema, outputSchema: schema });
    expect(tool.checkInput(good)).toBeUndefined();
    expect(tool.checkOutput?.(good)).toBeUndefined();
    expect(tool.checkInput(bad)).toEqual(expect.any(String));
  });

  test("the caller's schema is neither changed nor looked at again", async () => {
    const inputSchema = { type: "object", properties: { a: { type: "string" } } };
    const before = JSON.stringify(inputSchema);
    const tool = await toolWith({ inputSchema });
    expect(JSON.stringify(inputSchema)).toBe(before);
    inputSchema.properties.a.type = "number";
    expect(tool.checkInput({ a: "x" })).toBeUndefined();
    expect(JSON.stringify(tool.manifest.inputSchema)).toBe(before);
  });
});

describe("identity", () => {
  test("the digest does not depend on the order of keys, and changes with each value", async () => {
    const manifest = untyped({
      title: "T",
      resources: { memory: "1Mi", disk: 5 },
      inputSchema: { type: "object", properties: { a: {}, b: {} } },
    });
    const { digest } = await defineTool(manifest);
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.nat()), async (random) => {
        const shuffled = (value: unknown): unknown => {
          if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
          const entries = Object.entries(value).map(([key, item]) => ({ key, item: shuffled(item), place: random.next().value }));
          return Object.fromEntries(entries.toSorted((a, b) => a.place - b.place).map(({ key, item }) => [key, item]));
        };
        expect((await defineTool(JSON.parse(JSON.stringify(shuffled(manifest))))).digest).toBe(digest);
      }),
      { numRuns: 30 },
    );
    for (const changes of [{ title: "U" }, { version: "1.0.1" }, { resources: { memory: "2Mi", disk: 5 } }, { inputSchema: {} }]) {
      expect((await defineTool({ ...manifest, ...changes })).digest).not.toBe(digest);
    }
  });

  test("the manifest is frozen through and through, and the caller's is not", async () => {
    const manifest = manifestWith({ permissions: { network: ["a"] }, resources: { memory: 1 } });
    const tool = await defineTool(manifest);
    const visit = (value: unknown): void => {
      if (typeof value !== "object" || value === null) return;
      expect(Object.isFrozen(value)).toBe(true);
      for (const item of Object.values(value)) visit(item);
    };
    visit(tool.manifest);
    visit(tool.resources);
    expect(Object.isFrozen(tool)).toBe(true);
    expect(Object.isFrozen(manifest)).toBe(false);
  });

  test("bytes get their digest, and other bytes than the manifest's are ERR_DIGEST_MISMATCH", async () => {
    const bytes = Uint8Array.of(1, 2, 3);
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const plain = await defineTool(manifestWith(), { wasm: bytes });
    expect(plain.manifest.artifacts.wasm?.digest).toBe(digest);
    expect((await defineTool(manifestWith({ artifacts: { wasm: { digest } } }), { wasm: bytes })).digest).toBe(plain.digest);
    const other = manifestWith({ artifacts: { wasm: { digest: `sha256:${"0".repeat(64)}` } } });
    expect(await codeOf(defineTool(other, { wasm: bytes }))).toBe("ERR_DIGEST_MISMATCH");
    expect(await codeOf(() => assertDigest("t", "a", "b"))).toBe("ERR_DIGEST_MISMATCH");
    expect(assertDigest("t", undefined, "b")).toBeUndefined();
  });
});
