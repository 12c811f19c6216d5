import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { AbiTrap, createWasi, FileSystem, ProcExit, suspendingFunctionNames, type WasiOptions } from "../../src/wasm/wasi/index.ts";
import { bytesOf, joined } from "./sandbox.ts";

interface Jspi {
  readonly Suspending: new (target: unknown) => object;
  promising(target: unknown): () => Promise<void>;
}

/** JSPI is not in TypeScript's library yet. */
function hasJspi(api: object): api is Jspi {
  return "Suspending" in api && "promising" in api;
}

interface Outcome {
  readonly ended: unknown;
  readonly stdout: string;
  readonly stderr: string;
  readonly fs: FileSystem;
}

const modules = new Map<string, Promise<WebAssembly.Module>>();

function compiled(name: string): Promise<WebAssembly.Module> {
  const url = new URL(`guests/${name}.wasm`, import.meta.url);
  const module = modules.get(name) ?? readFile(url).then((bytes) => WebAssembly.compile(bytes));
  modules.set(name, module);
  return module;
}

function usualFileSystem(): FileSystem {
  const fs = new FileSystem({ maxBytes: 1_000_000, maxEntries: 1000 });
  fs.addFile("in/data.txt", bytesOf("from the host\n"));
  fs.mkdir("out");
  fs.preopen("/");
  return fs;
}

/** Runs a guest as an engine does; `suspend` wraps what may wait. */
async function run(name: string, options: Partial<WasiOptions> = {}, mode: "plain" | "suspend" = "plain"): Promise<Outcome> {
  const module = await compiled(name);
  const fs = options.fs ?? usualFileSystem();
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const wasi = createWasi({
    args: [name],
    env: {},
    stdin: new Uint8Array(),
    stdout: (bytes) => void out.push(bytes),
    stderr: (bytes) => void err.push(bytes),
    ...options,
    fs,
  });
  const names = WebAssembly.Module.imports(module).map((entry) => entry.name);
  const imports: WebAssembly.ModuleImports = { ...wasi.link(names) };
  const api: object = WebAssembly;
  if (mode === "suspend" && hasJspi(api)) {
    for (const suspending of suspendingFunctionNames) {
      const target = imports[suspending];
      if (target !== undefined) Object.assign(imports, { [suspending]: new api.Suspending(target) });
    }
  }
  const { exports } = new WebAssembly.Instance(module, { wasi_snapshot_preview1: imports });
  const { memory, _start: start } = exports;
  if (!(memory instanceof WebAssembly.Memory) || typeof start !== "function") throw new TypeError(`"${name}" is no command`);
  wasi.bind(memory);
  let ended: unknown;
  try {
    await (mode === "suspend" && hasJspi(api) ? api.promising(start)() : start());
  } catch (error) {
    ended = error;
  }
  return { ended, stdout: joined(out), stderr: joined(err), fs };
}

describe("programs in C", () => {
  it("read their arguments, variables and input, and end with a code", async () => {
    const { ended, stdout, stderr } = await run("stdio", {
      args: ["stdio", "ä b"],
      env: { KEY: "v=1", X: "" },
      stdin: bytesOf("hello\n\0x"),
    });
    expect(stdout).toBe("arg stdio\narg ä b\nenv KEY=v=1\nenv X=\nHELLO\n\0X");
    expect(stderr).toBe("read 8\n");
    expect(ended).toEqual(new ProcExit(8));
  });

  it("read a large input whole", async () => {
    const stdin = new Uint8Array(300_000).fill(97);
    const { ended, stdout } = await run("stdio", { stdin });
    expect(stdout.endsWith("A".repeat(1000))).toBe(true);
    expect(stdout.length).toBe("arg stdio\n".length + 300_000);
    expect(ended).toEqual(new ProcExit(300_000));
  });

  it.each(["enforced", "ignored"] as const)("find the C library's file functions as POSIX has them, rights %s", async (rights) => {
    const { stdout, fs } = await run("files", { rights });
    expect(stdout).toBe("0 failures\n");
    expect([...fs.files("out")]).toHaveLength(301);
    expect([...fs.files("out")].find(({ path }) => path === "moved")?.bytes).toEqual(bytesOf("42"));
  });

  it("find nothing outside (B12)", async () => {
    // The C library resolves `..` and absolute paths against its preopens itself, so "/.." is the root again.
    const paths = [
      "/etc/passwd",
      "../etc/passwd",
      "/../etc/passwd",
      "/proc/self/environ",
      "/out/../../etc/passwd",
      "//etc//passwd",
      "/dev/null",
      "../..",
    ];
    const { stdout, ended } = await run("escape", { args: ["escape", ...paths] });
    expect(ended).toBeUndefined();
    expect(stdout).toBe("done\n");
  });

  it.each(["write", "iovecs", "random", "readdir", "negative"])("that hand over a wild pointer trap: %s (B9)", async (way) => {
    const { ended, stdout } = await run("wild", { args: ["wild", way] });
    expect(ended).toBeInstanceOf(AbiTrap);
    expect(stdout).toBe("");
  });

  it("leave nothing for the next run (B11)", async () => {
    const first = await run("files");
    const second = await run("files");
    expect(second.stdout).toBe("0 failures\n");
    expect(second.fs).not.toBe(first.fs);
  });

  it.each([[[]], [["bytewise"]]])("that write without end are ended by what the callback throws (C1) %j", async (extra) => {
    let left = 100_000;
    const limit = { limit: "output" };
    const { ended } = await run("flood", {
      args: ["flood", ...extra],
      stdout: ({ length }) => {
        left -= length;
        if (left < 0) throw limit;
      },
    });
    expect(ended).toBe(limit);
  });

  it("cannot sleep where nothing can wait (A6)", async () => {
    const { stderr, ended } = await run("wait", { args: ["wait", "50"] });
    expect(stderr).toBe("nanosleep: Not supported\n");
    expect(ended).toEqual(new ProcExit(1));
  });
});

describe.runIf(hasJspi(WebAssembly))("programs in C, suspended", () => {
  it("sleep", async () => {
    const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
    const { stdout, ended } = await run("wait", { args: ["wait", "30"], sleep }, "suspend");
    expect(stdout).toBe("slept, 2 ready\n");
    expect(ended).toBeUndefined();
  });

  it("wait for a slow reader of their output", async () => {
    const stdin = new Uint8Array(20_000).fill(98);
    let waiting = 0;
    const pieces: Uint8Array[] = [];
    const stdout = async (bytes: Uint8Array): Promise<void> => {
      expect(++waiting).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 1));
      pieces.push(bytes);
      waiting--;
    };
    const { ended } = await run("stdio", { stdin, stdout }, "suspend");
    expect(ended).toEqual(new ProcExit(20_000));
    expect(joined(pieces)).toBe(`arg stdio\n${"B".repeat(20_000)}`);
  });

  it("are ended by a reader that fails", async () => {
    const failure = new Error("reader gone");
    const { ended } = await run("flood", { stdout: () => Promise.reject(failure) }, "suspend");
    expect(ended).toBe(failure);
  });
});
