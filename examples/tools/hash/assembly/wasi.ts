// The few WASI preview 1 calls that a command with files needs, without a library.

@external("wasi_snapshot_preview1", "fd_read")
declare function fd_read(fd: i32, iovecs: usize, count: i32, done: usize): u16;
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, iovecs: usize, count: i32, done: usize): u16;
@external("wasi_snapshot_preview1", "fd_close")
declare function fd_close(fd: i32): u16;
@external("wasi_snapshot_preview1", "fd_prestat_get")
declare function fd_prestat_get(fd: i32, prestat: usize): u16;
@external("wasi_snapshot_preview1", "path_open")
declare function path_open(
  fd: i32, lookup: u32, path: usize, length: usize, oflags: u32, rights: u64, inheriting: u64, fdflags: u32, opened: usize,
): u16;
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(code: i32): void;

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const FIRST_PREOPEN = 3;
const SYMLINK_FOLLOW: u32 = 1;
const RIGHT_FD_READ: u64 = 2;

const ERRNO_ACCES: u16 = 2;
const ERRNO_ISDIR: u16 = 31;
const ERRNO_NOENT: u16 = 44;
const ERRNO_NOTCAPABLE: u16 = 76;

/** Of an iovec, a prestat and the numbers that calls answer. */
const scratch = memory.data(16, 8);

/** Reads into `to`; answers the number of bytes, 0 at the end and -1 on an error. */
export function read(fd: i32, to: usize, capacity: i32): i32 {
  store<u32>(scratch, <u32>to);
  store<u32>(scratch, <u32>capacity, 4);
  if (fd_read(fd, scratch, 1, scratch + 8) != 0) return -1;
  return load<i32>(scratch, 8);
}

/** All of stdin; null on an error or where it is longer than `limit`. */
export function readStdin(limit: i32): Uint8Array | null {
  let bytes = new Uint8Array(64 * 1024);
  let length = 0;
  while (true) {
    const count = read(STDIN, bytes.dataStart + length, bytes.length - length);
    if (count < 0) return null;
    if (count == 0) return bytes.slice(0, length);
    length += count;
    if (length > limit) return null;
    if (length == bytes.length) {
      const larger = new Uint8Array(bytes.length * 2);
      larger.set(bytes);
      bytes = larger;
    }
  }
}

/** The file's descriptor, or the negative errno. Tries each preopened folder in turn. */
export function openFile(path: Uint8Array): i32 {
  let errno: u16 = ERRNO_NOENT;
  for (let fd = FIRST_PREOPEN; fd_prestat_get(fd, scratch) == 0; fd++) {
    // WASI paths are relative to a folder; an absolute one means the preopened root.
    const skip = path.length > 0 && path[0] == 0x2f ? 1 : 0;
    errno = path_open(fd, SYMLINK_FOLLOW, path.dataStart + skip, path.length - skip, 0, RIGHT_FD_READ, 0, 0, scratch);
    if (errno == 0) return load<i32>(scratch);
    if (errno != ERRNO_NOENT) break;
  }
  return -(<i32>errno);
}

export function closeFile(fd: i32): void {
  fd_close(fd);
}

export function describeErrno(errno: i32): string {
  if (errno == ERRNO_NOENT) return "there is no such file";
  if (errno == ERRNO_ISDIR) return "it is a folder";
  if (errno == ERRNO_ACCES || errno == ERRNO_NOTCAPABLE) return "access is denied";
  return "errno " + errno.toString();
}

export function writeStdout(text: string): bool {
  return write(STDOUT, text);
}

/** One line on stderr, then the end with exit code 1. */
export function exitWith(problem: string): void {
  write(STDERR, "hash: " + problem + "\n");
  proc_exit(1);
}

/** Where a failed bounds check of AssemblyScript ends: a trap, without strings that nobody reads. */
export function onAbort(_message: string | null, _file: string | null, _line: u32, _column: u32): void {
  unreachable();
}

function write(fd: i32, text: string): bool {
  const bytes = Uint8Array.wrap(String.UTF8.encode(text));
  let at = 0;
  while (at < bytes.length) {
    store<u32>(scratch, <u32>(bytes.dataStart + at));
    store<u32>(scratch, <u32>(bytes.length - at), 4);
    if (fd_write(fd, scratch, 1, scratch + 8) != 0) return false;
    const count = load<i32>(scratch, 8);
    if (count <= 0) return false;
    at += count;
  }
  return true;
}
