import * as fc from "fast-check";
import { expect, test } from "vitest";
import { compareVersions, createRegistry } from "../../src/registry.ts";
import { parseToolRef } from "../../src/tool.ts";
import { codeOf, toolWith } from "./support.ts";

// Semantic Versioning 2.0.0, §11.4, and numbers of any length.
const ascending = [
  "1.0.0-alpha",
  "1.0.0-alpha.1",
  "1.0.0-alpha.beta",
  "1.0.0-beta",
  "1.0.0-beta.2",
  "1.0.0-beta.11",
  "1.0.0-rc.1",
  "1.0.0",
  "1.0.1",
  "1.2.0",
  "1.10.0",
  "2.0.0",
  "2.1.0",
  "2.1.1",
  "9.0.0",
  "10.0.0",
  "10.0.9007199254740992",
  "10.0.9007199254740993",
  "10.0.99999999999999999999",
];

test("versions follow the chain of the specification", () => {
  const releases = ascending.filter((version) => !version.includes("-"));
  const previews = ascending.filter((version) => version.includes("-"));
  for (const chain of [releases, previews, ["1.0.0-rc.1", "1.0.0"]]) {
    expect(chain.toReversed().toSorted(compareVersions)).toEqual(chain);
    for (const [index, version] of chain.entries()) {
      for (const [other, later] of chain.entries()) expect(Math.sign(compareVersions(version, later))).toBe(Math.sign(index - other));
    }
  }
});

test("a release is before every pre-release, however high", () => {
  expect(compareVersions("1.0.0", "99.0.0-rc.1")).toBeGreaterThan(0);
});

test("build metadata does not count, also where it has a hyphen", () => {
  expect(compareVersions("1.0.0+a", "1.0.0+b")).toBe(0);
  expect(compareVersions("1.0.0+a-b", "1.0.0")).toBe(0);
  expect(compareVersions("1.0.0-1+a", "1.0.0-2+a")).toBeLessThan(0);
});

test("the order is total: it does not depend on what is compared with what", () => {
  const number = fc.nat(12).map(String);
  const identifier = fc.oneof(number, fc.constantFrom("a", "b", "a-b", "rc"));
  const pre = fc.option(fc.array(identifier, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(".")));
  const version = fc.tuple(number, number, number, pre).map(([a, b, c, d]) => `${a}.${b}.${c}${d === null ? "" : `-${d}`}`);
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      expect(Math.sign(compareVersions(a, b)) + Math.sign(compareVersions(b, a))).toBe(0);
      const isChain = compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0;
      expect(isChain && compareVersions(a, c) > 0).toBe(false);
    }),
    { numRuns: 2000 },
  );
});

test("finds by name, version and digest, and without them the highest release", async () => {
  const versions = ["1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1"];
  const tools = await Promise.all(versions.map((version) => toolWith({ version })));
  const registry = createRegistry(tools);
  expect(registry.get({ name: "sample" })?.manifest.version).toBe("1.10.0");
  expect(registry.get({ name: "sample", version: "2.0.0-rc.1" })).toBe(tools[3]);
  expect(registry.get({ name: "sample", digest: tools[0]?.digest ?? "" })).toBe(tools[0]);
  expect(registry.get({ name: "sample", version: "1.0.0", digest: tools[1]?.digest ?? "" })).toBeUndefined();
  expect(registry.get({ name: "sample", version: "3.0.0" })).toBeUndefined();
  for (const name of ["__proto__", "constructor", ""]) expect(registry.get({ name })).toBeUndefined();
  expect(registry.list().map(({ manifest }) => manifest.version)).toEqual(["1.10.0", "1.9.0", "1.0.0", "2.0.0-rc.1"]);
});

test("only pre-releases: the highest of them", async () => {
  const registry = createRegistry([await toolWith({ version: "1.0.0-beta" }), await toolWith({ version: "1.0.0-rc.1" })]);
  expect(registry.get({ name: "sample" })?.manifest.version).toBe("1.0.0-rc.1");
});

test("the same tool twice is one; another one of the same version is a conflict and changes nothing", async () => {
  const tool = await toolWith();
  const other = await toolWith({ description: "Another" });
  const registry = createRegistry([tool]);
  registry.add(await toolWith());
  expect(registry.list()).toEqual([tool]);
  expect(await codeOf(() => registry.add(other))).toBe("ERR_MANIFEST_INVALID");
  expect(await codeOf(() => registry.replaceAll([other, tool]))).toBe("ERR_MANIFEST_INVALID");
  expect(registry.list()).toEqual([tool]);
  registry.replaceAll([other]);
  expect(registry.list()).toEqual([other]);
  expect([registry.remove({ name: "sample" }), registry.remove({ name: "sample" })]).toEqual([true, false]);
  expect(registry.list()).toEqual([]);
});

test("a missing tool is ERR_TOOL_NOT_FOUND with the nearest name, and a hostile name costs nothing", async () => {
  const registry = createRegistry([await toolWith({ name: "markdown-to-html" })]);
  const near = registry.missing({ name: "markdwon-to-html" });
  expect([near.code, near.message.includes('"markdown-to-html"')]).toEqual(["ERR_TOOL_NOT_FOUND", true]);
  expect(registry.missing({ name: "zzz" }).message).not.toContain("markdown-to-html");
  const before = performance.now();
  expect(registry.missing({ name: "x".repeat(10_000_000) }).message.length).toBeLessThan(1000);
  expect(performance.now() - before).toBeLessThan(1000);
});

test.each([
  ["hash", { name: "hash" }],
  ["hash@1.0.0", { name: "hash", version: "1.0.0" }],
  ["hash@sha256:ab", { name: "hash", digest: "sha256:ab" }],
  ["@x", { name: "@x" }],
  ["a@b@c", { name: "a", version: "b@c" }],
])("%s names %j", (text, ref) => {
  expect(parseToolRef(text)).toEqual(ref);
});
