import { ToolRuntimeError } from "../errors.ts";
import type { Import } from "./meter/index.ts";
import type { FunctionType } from "./types.ts";

export const wasiNamespace = "wasi_snapshot_preview1";

const i = "i32";
const I = "i64";

function errnoOf(...parameters: string[]): FunctionType {
  return [...parameters, "->", i].join(" ");
}

/** The functions of WASI preview 1 by type (https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md). */
const functions: readonly (readonly [FunctionType, string])[] = [
  ["i32 ->", "proc_exit"],
  [errnoOf(), "sched_yield"],
  [errnoOf(i), "fd_close fd_datasync fd_sync proc_raise"],
  [errnoOf(i, i), "args_get args_sizes_get clock_res_get environ_get environ_sizes_get fd_fdstat_get fd_fdstat_set_flags"],
  [errnoOf(i, i), "fd_filestat_get fd_prestat_get fd_renumber fd_tell random_get sock_shutdown"],
  [errnoOf(i, I), "fd_filestat_set_size"],
  [errnoOf(i, I, i), "clock_time_get"],
  [errnoOf(i, I, I), "fd_allocate fd_fdstat_set_rights"],
  [errnoOf(i, I, I, i), "fd_advise fd_filestat_set_times"],
  [errnoOf(i, I, i, i), "fd_seek"],
  [errnoOf(i, i, i), "fd_prestat_dir_name path_create_directory path_remove_directory path_unlink_file sock_accept"],
  [errnoOf(i, i, i, i), "fd_read fd_write poll_oneoff"],
  [errnoOf(i, i, i, I, i), "fd_pread fd_pwrite fd_readdir"],
  [errnoOf(i, i, i, i, i), "path_filestat_get path_symlink sock_send"],
  [errnoOf(i, i, i, i, i, i), "path_readlink path_rename sock_recv"],
  [errnoOf(i, i, i, i, I, I, i), "path_filestat_set_times"],
  [errnoOf(i, i, i, i, i, i, i), "path_link"],
  [errnoOf(i, i, i, i, i, I, I, i, i), "path_open"],
];
const wasiTypes: ReadonlyMap<string, FunctionType> = new Map(
  functions.flatMap(([type, names]) => names.split(" ").map((name) => [name, type] as const)),
);

/** Whether an import is a function of WASI preview 1. */
export function isWasiImport({ namespace, name, kind }: Pick<Import, "namespace" | "name" | "kind">): boolean {
  return kind === "function" && namespace === wasiNamespace && wasiTypes.has(name);
}

/**
 * Refuses functions of WASI that are imported as another type. The engine links a host function as any type, and a guest
 * could hand over a `bigint` where the host reckons with numbers.
 *
 * @throws `ERR_IMPORT_DENIED`.
 */
export function assertWasiTypes(imports: readonly Import[], tool: string): void {
  for (const { namespace, name, type } of imports) {
    const granted = namespace === wasiNamespace ? wasiTypes.get(name) : undefined;
    if (granted === undefined || granted === type) continue;
    throw new ToolRuntimeError(
      "ERR_IMPORT_DENIED",
      `Cannot take the WebAssembly module of the tool "${tool}": it imports "${name}" from "${namespace}" as "${type}", which there is "${granted}"`,
      { details: { tool, namespace, name, kind: "function", type } },
    );
  }
}
