import { setTimeout as sleep } from "node:timers/promises";
import type { InputFile, OutputFile } from "../../../src/backend.ts";
import { fileOf } from "../../../src/internal/inputs.ts";
import { collectBytes } from "../../../src/store.ts";
import { changeIo, wrongBackend, type WrongRuntime } from "./wrap.ts";

export const wrongFilesAndEnv: readonly WrongRuntime[] = [
  {
    name: "leaks the host's environment",
    base: "wasm",
    fails: ["env-exact", "env-host-hidden"],
    open: wrongBackend(() => (run, plan, io) => {
      const host = Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
      return run(plan, changeIo(io, { env: { ...Object.fromEntries(host), ...io.env } }));
    }),
  },
  {
    name: "keeps variables of earlier runs",
    base: "wasm",
    fails: ["fresh-env"],
    open: wrongBackend(() => {
      let kept = {};
      return (run, plan, io) => {
        kept = { ...kept, ...io.env };
        return run(plan, changeIo(io, { env: kept }));
      };
    }),
  },
  {
    name: "writes the environment's values to stderr",
    base: "wasm",
    fails: ["secret-not-in-result", "secret-not-in-error", "secret-not-in-limit-error", "concurrent-runs"],
    open: wrongBackend(() => async (run, plan, io) => {
      const started = (): void => {
        io.started();
        for (const value of Object.values(io.env)) void io.stderr(new TextEncoder().encode(value));
      };
      return run(plan, changeIo(io, { started }));
    }),
  },
  {
    name: "keeps files that earlier runs have handed back",
    base: "wasm",
    fails: ["fresh-files"],
    open: wrongBackend(() => {
      const kept: InputFile[] = [];
      return async (run, plan, io) => {
        const made: InputFile[] = [];
        const file = async ({ path, content }: OutputFile): Promise<void> => {
          const bytes = await collectBytes(content, Number.POSITIVE_INFINITY);
          made.push(fileOf(`kept/${kept.length + made.length}/${path}`, bytes));
          await io.file({ path, content: bytes });
        };
        const report = await run(plan, changeIo(io, { file, files: [...io.files, ...kept] }));
        kept.push(...made);
        return report;
      };
    }),
  },
  {
    name: "drops the files that a tool hands back",
    base: "wasm",
    fails: ["files-out", "files-out-of-failure", "files-out-count", "concurrent-runs"],
    open: wrongBackend(
      () => (run, plan, io) =>
        run(
          plan,
          changeIo(io, {
            async file({ content }) {
              if (content instanceof ReadableStream) await content.cancel();
            },
          }),
        ),
    ),
  },
  {
    name: "gives runs that start together each other's files",
    base: "wasm",
    fails: ["concurrent-runs"],
    open: wrongBackend(() => {
      let latest: readonly InputFile[] = [];
      return async (run, plan, io) => {
        latest = io.files;
        await sleep(5);
        return run(plan, changeIo(io, { files: latest }));
      };
    }),
  },
];
