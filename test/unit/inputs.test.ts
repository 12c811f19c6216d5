import { describe, expect, test } from "vitest";
import { collectFiles, resolveEnv } from "../../src/internal/inputs.ts";
import { memoryBlobStore } from "../../src/store.ts";
import { codeOf, textStream, toolWith } from "./support.ts";

const blobs = memoryBlobStore();
const collect = async (files: Parameters<typeof collectFiles>[0], maxBytes = 1000) => (await collectFiles(files, blobs, maxBytes)).files;

describe("paths of input files", () => {
  test.each([
    "",
    "/",
    "/etc/passwd",
    "a/",
    "a//b",
    ".",
    "..",
    "./a",
    "../a",
    "a/../b",
    "a/./b",
    "a/..",
    "..\\a",
    "a\\b",
    "C:\\a",
    "a\0b",
    "a\nb",
    "a\u001bb",
    "a\u007fb",
    "\ud800",
    "a/\udfff",
    "out",
    "out/a",
    "tmp",
    "tmp/a",
    `${"a/".repeat(32)}a`,
    "a".repeat(256),
    `${"é".repeat(128)}`,
    `${`${"a".repeat(200)}/`.repeat(6)}a`,
  ])("%j is refused", async (path) => {
    expect(await codeOf(collect({ [path]: "x" }))).toBe("ERR_INPUT_INVALID");
  });

  test.each([
    "a",
    "a/b",
    "...",
    ".hidden",
    "a b",
    "-rf",
    "é",
    "\u{1f600}",
    "constructor",
    "toString",
    "output",
    "a/out",
    "a/tmp",
    "a:b",
    "~",
    "%2e%2e",
    "a".repeat(255),
    `${"a/".repeat(31)}a`,
  ])("%j is taken", async (path) => {
    expect((await collect({ [path]: "x" })).map((file) => file.path)).toEqual([path]);
  });

  test("__proto__ is a name as any other", async () => {
    const files: Record<string, string> = JSON.parse('{"__proto__": "x"}');
    expect((await collect(files)).map((file) => file.path)).toEqual(["__proto__"]);
  });

  test("a file cannot be a folder as well", async () => {
    expect(await codeOf(collect({ a: "x", "a/b": "y" }))).toBe("ERR_INPUT_INVALID");
    expect(await codeOf(collect({ "a/b/c": "x", "a/b": "y" }))).toBe("ERR_INPUT_INVALID");
    expect(await collect({ a: "x", ab: "y", "b/a": "z" })).toHaveLength(3);
  });
});

describe("contents of input files", () => {
  test("bytes, text, blob, stream and digest give the same", async () => {
    const bytes = new TextEncoder().encode("hé");
    const { digest } = await blobs.put(bytes);
    const files = await collect({ a: bytes, b: "hé", c: new Blob([bytes]), d: textStream("h", "é"), e: { digest } });
    const all = (text: string): string[] => Array.from({ length: 5 }, () => text);
    expect(await Promise.all(files.map(async (file) => new TextDecoder().decode(await file.bytes())))).toEqual(all("hé"));
    expect(await Promise.all(files.map((file) => new Response(file.stream()).text()))).toEqual(all("hé"));
    // Each reading is a new one.
    expect(await Promise.all(files.map((file) => new Response(file.stream()).text()))).toEqual(all("hé"));
    expect(files.map(({ size }) => size)).toEqual([3, 3, 3, 3, 3]);
  });

  test("all together are at most the room there is", async () => {
    expect(await collect({ a: "12345", b: "12345" }, 10)).toHaveLength(2);
    const { digest } = await blobs.put(new TextEncoder().encode("123456"));
    for (const last of ["123456", new Blob(["123456"]), textStream("123", "456"), { digest }]) {
      expect(await codeOf(collect({ a: "12345", b: last }, 10))).toBe("ERR_INPUT_TOO_LARGE");
    }
  });

  test.each(["", "sha256:", `sha256:${"0".repeat(64)}`, "__proto__"])("the digest %j of nothing is ERR_BLOB_NOT_FOUND", async (digest) => {
    expect(await codeOf(collect({ a: { digest } }))).toBe("ERR_BLOB_NOT_FOUND");
  });
});

describe("environment and secrets", () => {
  const secrets = (name: string): string | undefined => (name === "TOKEN" ? "s3cret" : undefined);

  test("gives what the task gives and nothing of the service's own", async () => {
    const env = await resolveEnv({ A: "1", _b2: "" }, await toolWith(), secrets);
    expect([Object.getPrototypeOf(env), { ...env }]).toEqual([null, { A: "1", _b2: "" }]);
  });

  test.each(["", "1A", "A-B", "A=B", "A B", "é", "A\0", "a.b", "x".repeat(256)])("the name %j is refused", async (name) => {
    expect(await codeOf(resolveEnv({ [name]: "x" }, await toolWith(), secrets))).toBe("ERR_INPUT_INVALID");
  });

  test("a NUL in a value is refused, from a secret as well", async () => {
    expect(await codeOf(resolveEnv({ A: "a\0b" }, await toolWith(), secrets))).toBe("ERR_INPUT_INVALID");
    const tool = await toolWith({ permissions: { secrets: ["X"] } });
    expect(await codeOf(resolveEnv({ A: { secret: "X" } }, tool, () => "a\0b"))).toBe("ERR_INPUT_INVALID");
  });

  test("a secret is given only to a tool that declares it, and asked for only then", async () => {
    const asked: string[] = [];
    const spy = (name: string): string | undefined => {
      asked.push(name);
      return secrets(name);
    };
    expect(await codeOf(resolveEnv({ T: { secret: "TOKEN" } }, await toolWith(), spy))).toBe("ERR_POLICY_DENIED");
    const other = await toolWith({ permissions: { secrets: ["OTHER"] } });
    expect(await codeOf(resolveEnv({ T: { secret: "TOKEN" } }, other, spy))).toBe("ERR_POLICY_DENIED");
    expect(asked).toEqual([]);
    expect(await codeOf(resolveEnv({ T: { secret: "OTHER" } }, other, spy))).toBe("ERR_SECRET_UNKNOWN");
    const tool = await toolWith({ permissions: { secrets: ["TOKEN"] } });
    expect(await resolveEnv({ T: { secret: "TOKEN" } }, tool, async (name) => secrets(name))).toMatchObject({ T: "s3cret" });
  });

  test("what the source of secrets says when it fails does not reach the caller", async () => {
    const tool = await toolWith({ permissions: { secrets: ["TOKEN"] } });
    const failing = (): never => {
      throw new Error("vault said s3cret is expired");
    };
    const work = resolveEnv({ T: { secret: "TOKEN" } }, tool, failing);
    await expect(work).rejects.toMatchObject({ code: "ERR_INTERNAL", message: expect.not.stringContaining("s3cret") });
  });
});
