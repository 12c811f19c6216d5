import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { boundaryOf, readMultipart } from "../../src/internal/multipart.ts";
import { collectBytes } from "../../src/store.ts";
import { ToolRuntimeError } from "../../src/index.ts";

const limits = { maxParts: 10, maxHeaderBytes: 1000 };

/** A stream that gives bytes in pieces of the given sizes, over and over. */
function inPieces(bytes: Uint8Array, sizes: readonly number[]): ReadableStream<Uint8Array> {
  let at = 0;
  let turn = 0;
  return new ReadableStream({
    pull(controller) {
      const size = sizes[turn++ % sizes.length] ?? 1;
      if (at >= bytes.length) controller.close();
      else controller.enqueue(bytes.slice(at, (at += size)));
    },
  });
}

async function readAll(bytes: Uint8Array, boundary: string, sizes: readonly number[]): Promise<[string, Uint8Array][]> {
  const parts: [string, Uint8Array][] = [];
  for await (const { name, content } of readMultipart(inPieces(bytes, sizes), boundary, limits))
    parts.push([name, await collectBytes(content, 1e9)]);
  return parts;
}

async function codeOf(text: string, boundary = "b"): Promise<string> {
  try {
    await readAll(new TextEncoder().encode(text), boundary, [7]);
    return "none";
  } catch (error) {
    if (error instanceof ToolRuntimeError) return error.code;
    throw error;
  }
}

/** Contents that are full of what looks like a boundary. */
const content = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc
    .array(fc.constantFrom("\r", "\n", "\r\n", "-", "--", "\r\n--", "x", "\r\n----", "formdata"), { maxLength: 40 })
    .map((parts) => new TextEncoder().encode(parts.join(""))),
);

describe("a multipart body", () => {
  it("is read as what the platform wrote, wherever the network cuts it", async () => {
    const name = fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" }).filter((text) => text.isWellFormed() && !/[\r\n]/.test(text));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(name, content), { maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 5 }),
        async (parts, sizes) => {
          const data = new FormData();
          for (const [key, bytes] of parts) data.append(key, new Blob([bytes as Uint8Array<ArrayBuffer>]), "f");
          const request = new Request("http://localhost/", { method: "POST", body: data });
          const boundary = boundaryOf(request.headers.get("content-type") ?? "");
          const read = await readAll(new Uint8Array(await request.arrayBuffer()), boundary, sizes);
          expect(read.map(([key, bytes]) => [key, [...bytes]])).toEqual(parts.map(([key, bytes]) => [key, [...bytes]]));
        },
      ),
      { numRuns: 300 },
    );
  });

  it("holds an empty part, also one whose empty line is the delimiter's", async () => {
    const head = '--b\r\nContent-Disposition: form-data; name="a"\r\n';
    for (const text of [`${head}\r\n\r\n--b--`, `${head}\r\n--b--`]) {
      expect((await readAll(new TextEncoder().encode(text), "b", [1])).map(([name, bytes]) => [name, bytes.length])).toEqual([["a", 0]]);
    }
  });

  it.each([
    ["nothing", ""],
    ["no boundary", "hello"],
    ["no end", '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx'],
    ["no end after a boundary", "--b\r\n"],
    ["something else after a boundary", "--bx\r\n"],
    ["no header", "--b\r\n\r\nx\r\n--b--"],
    ["no name", '--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n--b--'],
    ["another disposition", '--b\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--b--'],
    ["two dispositions", '--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"\r\n\r\nx\r\n--b--'],
  ])("is refused with %s", async (_, text) => {
    expect(await codeOf(text)).toBe("ERR_INPUT_INVALID");
  });

  it("is bounded in the number of its parts and the size of their headers", async () => {
    const part = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n';
    expect(await codeOf(`${part.repeat(11)}--b--`)).toBe("ERR_INPUT_TOO_LARGE");
    expect(await codeOf(`--b\r\nX: ${"x".repeat(2000)}\r\n\r\n\r\n--b--`)).toBe("ERR_INPUT_TOO_LARGE");
    expect(await codeOf(`--b\r\nX: ${"x".repeat(100_000)}`)).toBe("ERR_INPUT_TOO_LARGE");
  });

  it("fails with a code, and with nothing else, whatever it holds", async () => {
    const piece = fc.constantFrom(
      "--b",
      "--b--",
      "\r\n",
      "\r",
      "\n",
      "Content-Disposition: form-data; ",
      'name="a"',
      'filename="',
      '"',
      ";",
      "x",
      "\0",
      " ",
      "ÿ",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 30 }), async (pieces) => {
        expect(["none", "ERR_INPUT_INVALID", "ERR_INPUT_TOO_LARGE"]).toContain(await codeOf(pieces.join("")));
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    "multipart/form-data",
    "multipart/form-data; boundary=",
    'multipart/form-data; boundary="a\u0000"',
    `multipart/form-data; boundary=${"x".repeat(71)}`,
  ])("has no boundary in %j", (type) => {
    expect(() => boundaryOf(type)).toThrow(ToolRuntimeError);
  });
});
