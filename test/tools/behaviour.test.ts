import { createHash, randomBytes } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import type { Result } from "../../src/index.ts";
import { filesOf, load, openBench } from "./support.ts";

const bench = openBench();
afterAll(() => bench[Symbol.asyncDispose]());

type Files = Readonly<Record<string, Uint8Array>>;

async function run(name: string, input: unknown, files: Files = {}): Promise<Result> {
  return bench.wasm.execute({ tool: await load(name), input, files });
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

describe("hash", () => {
  const algorithms = ["sha256", "sha512", "sha1", "md5", "crc32"];
  // Around the sizes of blocks and of the file's chunks.
  const sizes = [0, 1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 65_535, 65_536, 65_537, 200_000];

  test.each(sizes)("gives what node:crypto gives for %i bytes, as text and as file", async (size) => {
    const bytes = randomBytes(size);
    const want = createHash("sha512").update(bytes).digest("hex");
    const asText = await run("hash", { text: bytes.toString("base64"), encoding: "base64", algorithms: ["sha512"] });
    const asFile = await run("hash", { file: "deep/er/x.bin", algorithms: ["sha512"] }, { "deep/er/x.bin": bytes });
    expect(asText.output).toEqual({ bytes: size, digests: { sha512: want } });
    expect(asFile.output).toEqual(asText.output);
  });

  test("as WASM and as host command gives the same for the same calls", async () => {
    const tool = await load("hash");
    const bytes = randomBytes(70_001);
    const inputs = [
      { text: "", algorithms },
      { text: 'Grüße 😀 \u0000 "\\', algorithms },
      { text: bytes.toString("hex"), encoding: "hex", algorithms },
      { file: "f", algorithms },
    ];
    for (const input of inputs) {
      const [inModule, onHost] = [
        await bench.wasm.execute({ tool, input, files: { f: bytes } }),
        await bench.command.execute({ tool, input, files: { f: bytes } }),
      ];
      expect(inModule.output).toEqual(onHost.output);
      expect(inModule.exitCode).toBe(onHost.exitCode);
    }
  });
});

describe("image-thumbnail", () => {
  test("writes a PNG of the size that it answers", async () => {
    const result = await run(
      "image-thumbnail",
      { file: "logo.png", width: 40, height: 30 },
      await filesOf("image-thumbnail", { "logo.png": "fixtures/logo.png" }),
    );
    const png = Buffer.from(await bench.fileOf(result, "thumbnail.png"));
    expect(png.subarray(0, 8).toString("latin1")).toBe("\x89PNG\r\n\x1a\n");
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([30, 30]);
    expect(result.output).toMatchObject({ width: 30, height: 30, bytes: png.length });
  });

  test("refuses a header that promises more pixels than the limit", async () => {
    const { "logo.png": logo = new Uint8Array() } = await filesOf("image-thumbnail", { "logo.png": "fixtures/logo.png" });
    const bomb = Buffer.from(logo);
    bomb.writeUInt32BE(15_000, 16);
    bomb.writeUInt32BE(15_000, 20);
    const result = await run("image-thumbnail", { file: "x.png" }, { "x.png": bomb });
    expect(result).toMatchObject({ exitCode: 1, files: [] });
    expect(result.stderr).toContain("15000 x 15000");
  });

  test("ends damaged images with an answer or one line, never with a trap", async () => {
    const { jpg = new Uint8Array(), png = new Uint8Array() } = await filesOf("image-thumbnail", {
      jpg: "fixtures/landscape.jpg",
      png: "fixtures/logo.png",
    });
    let seed = 1;
    const next = (below: number): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff) % below;
    const codes = new Set<number>();
    for (let round = 0; round < 150; round++) {
      const damaged = Uint8Array.from(round % 2 === 0 ? jpg : png);
      for (let hits = 0; hits < 6; hits++) damaged[next(damaged.length)] = next(256);
      codes.add((await run("image-thumbnail", { file: "x", width: 32, height: 32 }, { x: damaged })).exitCode);
    }
    expect([...codes].toSorted()).toEqual([0, 1]);
  });
});

describe("sqlite-query", () => {
  const shop = (): Promise<Files> => filesOf("sqlite-query", { "shop.db": "fixtures/shop.db" });

  test.each([
    "DELETE FROM customer",
    "INSERT INTO customer VALUES (9, 'x', 'y') RETURNING id",
    "CREATE TABLE t (a)",
    "ATTACH 'out/x.db' AS x",
    "VACUUM INTO 'out/x.db'",
    "PRAGMA writable_schema = 1",
    "PRAGMA journal_mode = DELETE",
  ])("refuses to write: %s", async (sql) => {
    const result = await run("sqlite-query", { database: "shop.db", sql }, await shop());
    expect(result).toMatchObject({ exitCode: 1, stdout: "", stderr: "sqlite-query: Cannot run the query: it may only read\n", files: [] });
  });

  test("refuses a database whose last changes are in a write-ahead log", async () => {
    const files = { ...(await shop()), "shop.db-wal": text("pages") };
    const result = await run("sqlite-query", { database: "shop.db", sql: "SELECT 1" }, files);
    expect(result.stderr).toContain("close or checkpoint the database first");
  });

  test("keeps integers, reals, blobs and odd texts as they are", async () => {
    const sql = "SELECT 9223372036854775807, 0.1, x'00ff10', char(34, 92, 10, 233), CAST(x'61ff62' AS TEXT), NULL, 1e999";
    const result = await run("sqlite-query", { database: "shop.db", sql }, await shop());
    expect(result.output).toMatchObject({
      rows: [["9223372036854775807", 0.1, { base64: "AP8Q" }, '"\\\né', "a\uFFFDb", null, "Infinity"]],
    });
  });
});

describe("markdown-to-html", () => {
  test.each([
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java&#10;script:alert(1)",
    "&#1;javascript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
  ])("drops the link %s", async (url) => {
    const result = await run("markdown-to-html", { markdown: `[a](${url}) ![b](${url}) <img src=x onerror=alert(1)>` });
    expect(result.stdout).not.toMatch(/(?:href|src)="[^"]/);
    expect(result.stdout).not.toContain("<img src=x");
  });
});

describe("bad input", () => {
  test.each([
    ["json-query", { expression: `${"!".repeat(600)}a`, data: 1 }],
    ["json-query", { expression: "a[", data: 1 }],
    ["json-query", { expression: "a", file: "missing.json" }],
    ["json-query", { expression: "a", file: "../../etc/passwd" }],
    ["csv-aggregate", { csv: "a,b\n1" }],
    ["csv-aggregate", { csv: "" }],
    ["csv-aggregate", { csv: "a", groupBy: ["b"] }],
    ["text-diff", { before: "x\n".repeat(10_001), after: "" }],
    ["text-diff", { before: "", after: "x", beforeName: "a\n+forged" }],
    ["image-thumbnail", { file: "missing.png" }],
    ["sqlite-query", { database: "missing.db", sql: "SELECT 1" }],
    ["hash", { text: "a", encoding: "base64" }],
    ["hash", { file: "/etc/passwd" }],
  ])("%s ends with exit code 1 and one line: %j", async (name, input) => {
    const result = await run(name, input);
    expect(result).toMatchObject({ exitCode: 1, stdout: "" });
    expect(result.stderr).toMatch(new RegExp(`^${name}: Cannot [^\\n]+\\n$`));
  });
});
