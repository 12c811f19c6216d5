import { Right } from "./abi.ts";
import * as fd from "./fd-calls.ts";
import * as io from "./io-calls.ts";
import * as path from "./path-calls.ts";
import { pathOpen } from "./path-open.ts";
import { pollOneoff } from "./poll.ts";
import * as process from "./process-calls.ts";
import { refuseSocket } from "./socket-calls.ts";
import type { WasiState } from "./state.ts";

/**
 * The functions of `wasi_snapshot_preview1` as the guest calls them, each bound to one run's state on
 * demand: a module imports a handful of the forty-six, and binding all of them costs more than most runs.
 *
 * 32-bit parameters arrive signed; pointers, lengths and counts become unsigned here.
 */
export const functions = {
  __proto__: null,

  args_get: (s: WasiState) => (pointers: number, buffer: number) => process.argsGet(s, pointers, buffer),
  args_sizes_get: (s: WasiState) => (count: number, size: number) => process.argsSizesGet(s, count, size),
  environ_get: (s: WasiState) => (pointers: number, buffer: number) => process.environGet(s, pointers, buffer),
  environ_sizes_get: (s: WasiState) => (count: number, size: number) => process.environSizesGet(s, count, size),
  clock_res_get: (s: WasiState) => (id: number, result: number) => process.clockResGet(s, id, result),
  clock_time_get: (s: WasiState) => (id: number, _precision: bigint, result: number) => process.clockTimeGet(s, id, result),
  random_get: (s: WasiState) => (pointer: number, length: number) => process.randomGet(s, pointer, length),
  proc_exit: (s: WasiState) => (code: number) => process.procExit(s, code),
  proc_raise: (s: WasiState) => (signal: number) => process.procRaise(s, signal),
  sched_yield: (s: WasiState) => () => process.schedYield(s),

  fd_advise: (s: WasiState) => (n: number, offset: bigint, length: bigint, advice: number) => fd.fdAdvise(s, n, { offset, length, advice }),
  fd_allocate: (s: WasiState) => (n: number, offset: bigint, length: bigint) => fd.fdAllocate(s, n, { offset, length }),
  fd_close: (s: WasiState) => (n: number) => fd.fdClose(s, n),
  fd_datasync: (s: WasiState) => (n: number) => fd.fdSync(s, n, Right.fdDatasync),
  fd_fdstat_get: (s: WasiState) => (n: number, result: number) => fd.fdFdstatGet(s, n, result >>> 0),
  fd_fdstat_set_flags: (s: WasiState) => (n: number, flags: number) => fd.fdFdstatSetFlags(s, n, flags),
  fd_fdstat_set_rights: (s: WasiState) => (n: number, base: bigint, inheriting: bigint) => fd.fdFdstatSetRights(s, n, { base, inheriting }),
  fd_filestat_get: (s: WasiState) => (n: number, result: number) => fd.fdFilestatGet(s, n, result >>> 0),
  fd_filestat_set_size: (s: WasiState) => (n: number, size: bigint) => fd.fdFilestatSetSize(s, n, size),
  fd_filestat_set_times: (s: WasiState) => (n: number, access: bigint, modify: bigint, flags: number) =>
    fd.fdFilestatSetTimes(s, n, { access, modify, flags }),
  fd_pread: (s: WasiState) => (n: number, iovecs: number, count: number, offset: bigint, result: number) =>
    io.fdPread(s, n, { iovecs: iovecs >>> 0, count: count >>> 0, offset, result: result >>> 0 }),
  fd_prestat_get: (s: WasiState) => (n: number, result: number) => fd.fdPrestatGet(s, n, result >>> 0),
  fd_prestat_dir_name: (s: WasiState) => (n: number, pointer: number, length: number) =>
    fd.fdPrestatDirName(s, n, { pointer: pointer >>> 0, length: length >>> 0 }),
  fd_pwrite: (s: WasiState) => (n: number, iovecs: number, count: number, offset: bigint, result: number) =>
    io.fdPwrite(s, n, { iovecs: iovecs >>> 0, count: count >>> 0, offset, result: result >>> 0 }),
  fd_read: (s: WasiState) => (n: number, iovecs: number, count: number, result: number) =>
    io.fdRead(s, n, { iovecs: iovecs >>> 0, count: count >>> 0, result: result >>> 0 }),
  fd_readdir: (s: WasiState) => (n: number, pointer: number, length: number, cookie: bigint, result: number) =>
    fd.fdReaddir(s, n, { pointer: pointer >>> 0, length: length >>> 0, cookie, result: result >>> 0 }),
  fd_renumber: (s: WasiState) => (from: number, to: number) => fd.fdRenumber(s, from, to),
  fd_seek: (s: WasiState) => (n: number, offset: bigint, whence: number, result: number) =>
    fd.fdSeek(s, n, { offset, whence, result: result >>> 0 }),
  fd_sync: (s: WasiState) => (n: number) => fd.fdSync(s, n, Right.fdSync),
  fd_tell: (s: WasiState) => (n: number, result: number) => fd.fdTell(s, n, result >>> 0),
  fd_write: (s: WasiState) => (n: number, iovecs: number, count: number, result: number) =>
    io.fdWrite(s, n, { iovecs: iovecs >>> 0, count: count >>> 0, result: result >>> 0 }),

  path_create_directory: (s: WasiState) => (n: number, pointer: number, length: number) =>
    path.pathCreateDirectory(s, at(n, pointer, length)),
  path_filestat_get: (s: WasiState) => (n: number, flags: number, pointer: number, length: number, result: number) =>
    path.pathFilestatGet(s, at(n, pointer, length), flags, result >>> 0),
  path_filestat_set_times:
    (s: WasiState) => (n: number, lookup: number, pointer: number, length: number, access: bigint, modify: bigint, flags: number) =>
      path.pathFilestatSetTimes(s, at(n, pointer, length), { lookup, access, modify, flags }),
  path_link:
    (s: WasiState) => (n: number, flags: number, pointer: number, length: number, toN: number, toPointer: number, toLength: number) =>
      path.pathLink(s, at(n, pointer, length), flags, at(toN, toPointer, toLength)),
  path_open:
    (s: WasiState) =>
    (
      n: number,
      lookup: number,
      pointer: number,
      length: number,
      openFlags: number,
      base: bigint,
      inheriting: bigint,
      fdFlags: number,
      result: number,
    ) =>
      pathOpen(s, at(n, pointer, length), { lookup, openFlags, base, inheriting, fdFlags, result: result >>> 0 }),
  path_readlink: (s: WasiState) => (n: number, pointer: number, length: number, buffer: number, bufferLength: number, result: number) =>
    path.pathReadlink(s, at(n, pointer, length), {
      pointer: buffer >>> 0,
      length: bufferLength >>> 0,
      result: result >>> 0,
    }),
  path_remove_directory: (s: WasiState) => (n: number, pointer: number, length: number) =>
    path.pathRemoveDirectory(s, at(n, pointer, length)),
  path_rename: (s: WasiState) => (n: number, pointer: number, length: number, toN: number, toPointer: number, toLength: number) =>
    path.pathRename(s, at(n, pointer, length), at(toN, toPointer, toLength)),
  path_symlink: (s: WasiState) => (target: number, targetLength: number, n: number, pointer: number, length: number) =>
    path.pathSymlink(s, { pointer: target >>> 0, length: targetLength >>> 0 }, at(n, pointer, length)),
  path_unlink_file: (s: WasiState) => (n: number, pointer: number, length: number) => path.pathUnlinkFile(s, at(n, pointer, length)),

  poll_oneoff: (s: WasiState) => (subscriptions: number, events: number, count: number, result: number) =>
    pollOneoff(s, subscriptions >>> 0, { events: events >>> 0, count: count >>> 0, result: result >>> 0 }),

  sock_accept: (s: WasiState) => (n: number, _flags: number, _result: number) => refuseSocket(s, n),
  sock_recv: (s: WasiState) => (n: number, _iovecs: number, _count: number, _flags: number, _result: number, _resultFlags: number) =>
    refuseSocket(s, n),
  sock_send: (s: WasiState) => (n: number, _iovecs: number, _count: number, _flags: number, _result: number) => refuseSocket(s, n),
  sock_shutdown: (s: WasiState) => (n: number, _how: number) => refuseSocket(s, n),
};

function at(fd: number, pointer: number, length: number): path.GuestPath {
  return { fd, pointer: pointer >>> 0, length: length >>> 0 };
}
