import { describe, expect, it } from "vitest";
import { suspendingFunctionNames, wasiFunctionNames } from "../../src/wasm/wasi/index.ts";
import { Sandbox } from "./sandbox.ts";

// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md, the module's functions
const PREVIEW1 = `args_get args_sizes_get clock_res_get clock_time_get environ_get environ_sizes_get fd_advise fd_allocate
  fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get fd_filestat_set_size
  fd_filestat_set_times fd_pread fd_prestat_dir_name fd_prestat_get fd_pwrite fd_read fd_readdir fd_renumber fd_seek
  fd_sync fd_tell fd_write path_create_directory path_filestat_get path_filestat_set_times path_link path_open
  path_readlink path_remove_directory path_rename path_symlink path_unlink_file poll_oneoff proc_exit proc_raise
  random_get sched_yield sock_accept sock_recv sock_send sock_shutdown`.split(/\s+/);

describe("the surface of preview 1", () => {
  it("has every function and no other", () => {
    expect(wasiFunctionNames.toSorted()).toEqual(PREVIEW1.toSorted());
    expect(Object.keys(new Sandbox().call).toSorted()).toEqual(PREVIEW1.toSorted());
  });

  it("hands out records without prototype (B7)", () => {
    const { wasi } = new Sandbox();
    expect(Object.getPrototypeOf(wasi.imports)).toBeNull();
    const linked = wasi.link(["fd_write", "__proto__", "constructor", "hasOwnProperty", "toString", "no_such"]);
    expect(Object.getPrototypeOf(linked)).toBeNull();
    expect(Object.keys(linked)).toEqual(["fd_write"]);
  });

  it("takes as many parameters as a module passes", () => {
    const { call } = new Sandbox();
    expect(call.path_open.length).toBe(9);
    expect(call.path_link.length).toBe(7);
    expect(call.path_filestat_set_times.length).toBe(7);
    expect(call.fd_pread.length).toBe(5);
    expect(call.sock_recv.length).toBe(6);
    expect(call.sched_yield.length).toBe(0);
  });

  it("names the functions that may suspend", () => {
    expect(suspendingFunctionNames.every((name) => wasiFunctionNames.includes(name))).toBe(true);
  });

  it("gives each run its own functions and state", () => {
    const a = new Sandbox();
    const b = new Sandbox();
    a.write(a.openFile("left"), "secret");
    expect(a.call.fd_write).not.toBe(b.call.fd_write);
    expect(b.tryOpen("left").errno).toBe(44);
  });
});
