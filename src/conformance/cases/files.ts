import { sha256 } from "../../internal/digest.ts";
import { check, fail, same, sameBytes } from "../assert.ts";
import { EventLog, joinBytes } from "../bench.ts";
import { isolates, type ConformanceCase } from "../case.ts";
import { steps } from "../probe.ts";

const encoder = new TextEncoder();
const everyByte = Uint8Array.from({ length: 70_000 }, (_, at) => (at * 7 + (at >> 8)) & 255);

/** The answers of several file operations, one after the other. */
function answers(stdout: string): { ok: boolean }[] {
  return JSON.parse(`[${stdout.replaceAll("}{", "},{")}]`) as { ok: boolean }[];
}

const inputCases: readonly ConformanceCase[] = [
  {
    id: "files-in",
    title: "files of every kind stand at their paths, byte for byte",
    async run(bench) {
      const { digest } = await bench.blobs.put(encoder.encode("by digest\n"));
      const files = {
        "plain.txt": "text é\n",
        "data/deep/er/binary.bin": everyByte,
        "data/empty": new Uint8Array(0),
        "data/blob": new Blob(["a ", "blob\n"]),
        "a name with spaces é.txt": new Blob(["a stream\n"]).stream(),
        "by-digest": { digest },
      };
      const events = new EventLog();
      await bench.succeed(steps(...Object.keys(files).map((path) => ({ do: "read", path }) as const)), {
        task: { files },
        call: { onEvent: events.listener },
      });
      const text = (content: string): Uint8Array => encoder.encode(content);
      const expected = [text("text é\n"), everyByte, text("a blob\n"), text("a stream\n"), text("by digest\n")];
      sameBytes(events.bytes("stdout"), joinBytes(expected), "what the tool read");
    },
  },
  {
    id: "files-in-only",
    title: "the working folder has the task's files and no others",
    async run(bench) {
      const { stdout } = await bench.succeed({ do: "list" }, { task: { files: { "b/c": "1", a: "2", "b/a": "" } } });
      same(JSON.parse(stdout), ["a", "b/a", "b/c"], "the files");
    },
  },
  {
    id: "files-in-read-only",
    title: "a tool that is isolated cannot change or remove what it was given",
    requires: isolates,
    async run(bench) {
      const { stdout } = await bench.succeed(
        steps({ do: "save", path: "a.txt", text: "changed" }, { do: "remove", path: "a.txt" }, { do: "read", path: "a.txt" }),
        { task: { files: { "a.txt": "as it was" } } },
      );
      const kept = stdout.indexOf("as it was");
      check(kept > 0, "the file is not as it was");
      same(
        answers(stdout.slice(0, kept)).map(({ ok }) => ok),
        [false, false],
        "whether it could be written and removed",
      );
    },
  },
  {
    id: "files-in-caller-safe",
    title: "what the tool does to a file does not reach the caller's bytes",
    async run(bench) {
      const bytes = encoder.encode("as it was");
      const { digest } = await bench.blobs.put(bytes);
      await bench.succeed(steps({ do: "save", path: "a", text: "CHANGED" }, { do: "save", path: "b", text: "CHANGED" }), {
        task: { files: { a: bytes, b: { digest } } },
      });
      same(new TextDecoder().decode(bytes), "as it was", "the caller's bytes");
      same(new TextDecoder().decode(await bench.blobs.get(digest)), "as it was", "the blob");
    },
  },
  {
    id: "files-in-bad-path",
    title: "a path that is not plainly inside the working folder is refused",
    async run(bench) {
      const runtime = await bench.open();
      for (const path of ["../up", "/abs", "a//b", "a/./b", "a/../b", "", "out/x", "tmp/x", "a\\b", "a\u0000b", "a/"]) {
        await bench.refuse("ERR_INPUT_INVALID", { do: "list" }, { runtime, task: { files: { [path]: "x" } } });
      }
      await bench.refuse("ERR_INPUT_INVALID", { do: "list" }, { runtime, task: { files: { a: "x", "a/b": "y" } } });
    },
  },
  {
    id: "files-in-unknown-digest",
    title: "a digest that the store does not have is ERR_BLOB_NOT_FOUND",
    async run(bench) {
      const digest = await sha256(encoder.encode("never stored"));
      await bench.refuse("ERR_BLOB_NOT_FOUND", { do: "list" }, { task: { files: { a: { digest } } } });
    },
  },
];

const outputCases: readonly ConformanceCase[] = [
  {
    id: "files-out",
    title: "what is in out comes back by path and digest, byte for byte",
    async run(bench) {
      const { files } = await bench.succeed(
        steps(
          { do: "save", path: "out/text.txt", text: "é\n" },
          { do: "save", path: "out/deep/er/binary", hex: "00ff80c3280a0d" },
          { do: "save", path: "out/empty" },
          { do: "save", path: "out/zeros", bytes: 300_000 },
        ),
      );
      const expected = new Map([
        ["deep/er/binary", Uint8Array.of(0x00, 0xff, 0x80, 0xc3, 0x28, 0x0a, 0x0d)],
        ["empty", new Uint8Array(0)],
        ["text.txt", encoder.encode("é\n")],
        ["zeros", new Uint8Array(300_000)],
      ]);
      same(files.map(({ path }) => path).toSorted(), [...expected.keys()], "the paths");
      for (const { path, digest, size } of files) {
        const bytes = expected.get(path) ?? fail(`nobody wrote "${path}"`);
        same([digest, size], [await sha256(bytes), bytes.length], `digest and size of "${path}"`);
        sameBytes((await bench.blobs.get(digest)) ?? fail(`the store has no "${path}"`), bytes, `"${path}"`);
      }
    },
  },
  {
    id: "files-out-of-failure",
    title: "a tool that fails hands its files back too",
    async run(bench) {
      const { files, exitCode } = await bench.run(steps({ do: "save", path: "out/report", text: "x" }, { do: "exit", code: 4 }));
      same([files.map(({ path }) => path), exitCode], [["report"], 4], "paths and exit code");
    },
  },
  {
    id: "files-out-only",
    title: "what is written elsewhere is scratch and does not come back",
    async run(bench) {
      const { files, stdout } = await bench.succeed(
        steps({ do: "save", path: "tmp/scratch", text: "kept" }, { do: "read", path: "tmp/scratch" }),
        { task: { files: { given: "x" } } },
      );
      same(stdout, '{"ok":true}kept', "stdout");
      same(files, [], "files");
    },
  },
  {
    id: "files-out-count",
    title: "more files than the runtime takes back end in an error, not in fewer files",
    async run(bench) {
      const options = { maxOutputFiles: 4 };
      const { files } = await bench.succeed({ do: "save", path: "out/f", count: 4 }, { options });
      same(files.length, 4, "the number of files at the cap");
      const error = await bench.ended("ERR_LIMIT_DISK", { do: "save", path: "out/f", count: 5 }, { options });
      check(error.partial !== undefined, "the error has no partial");
    },
  },
];

export const fileCases: readonly ConformanceCase[] = [...inputCases, ...outputCases];
