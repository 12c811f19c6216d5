/**
 * The numbers of WASI preview 1, as plain data.
 *
 * Source: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
 */

export const Errno = {
  success: 0,
  acces: 2,
  again: 6,
  badf: 8,
  exist: 20,
  fbig: 22,
  ilseq: 25,
  inval: 28,
  isdir: 31,
  loop: 32,
  mfile: 33,
  mlink: 34,
  nametoolong: 37,
  noent: 44,
  nospc: 51,
  notdir: 54,
  notempty: 55,
  notsock: 57,
  notsup: 58,
  perm: 63,
  spipe: 70,
  notcapable: 76,
} as const;

/** All rights fit in thirty bits, so they are kept as plain numbers and become 64-bit only in guest memory. */
export const Right = {
  fdDatasync: 1 << 0,
  fdRead: 1 << 1,
  fdSeek: 1 << 2,
  fdFdstatSetFlags: 1 << 3,
  fdSync: 1 << 4,
  fdTell: 1 << 5,
  fdWrite: 1 << 6,
  fdAdvise: 1 << 7,
  fdAllocate: 1 << 8,
  pathCreateDirectory: 1 << 9,
  pathCreateFile: 1 << 10,
  pathLinkSource: 1 << 11,
  pathLinkTarget: 1 << 12,
  pathOpen: 1 << 13,
  fdReaddir: 1 << 14,
  pathReadlink: 1 << 15,
  pathRenameSource: 1 << 16,
  pathRenameTarget: 1 << 17,
  pathFilestatGet: 1 << 18,
  pathFilestatSetSize: 1 << 19,
  pathFilestatSetTimes: 1 << 20,
  fdFilestatGet: 1 << 21,
  fdFilestatSetSize: 1 << 22,
  fdFilestatSetTimes: 1 << 23,
  pathSymlink: 1 << 24,
  pathRemoveDirectory: 1 << 25,
  pathUnlinkFile: 1 << 26,
  pollFdReadwrite: 1 << 27,
  sockShutdown: 1 << 28,
  sockAccept: 1 << 29,
} as const;

/** The rights that mean something on a regular file. */
export const FILE_RIGHTS: number =
  Right.fdDatasync |
  Right.fdRead |
  Right.fdSeek |
  Right.fdFdstatSetFlags |
  Right.fdSync |
  Right.fdTell |
  Right.fdWrite |
  Right.fdAdvise |
  Right.fdAllocate |
  Right.fdFilestatGet |
  Right.fdFilestatSetSize |
  Right.fdFilestatSetTimes |
  Right.pollFdReadwrite;

/** The rights that mean something on a directory. Seeking and `fd_filestat_set_size` do not. */
export const DIRECTORY_RIGHTS: number =
  Right.fdFdstatSetFlags |
  Right.fdSync |
  Right.fdDatasync |
  Right.fdReaddir |
  Right.fdFilestatGet |
  Right.fdFilestatSetTimes |
  Right.pathCreateDirectory |
  Right.pathCreateFile |
  Right.pathLinkSource |
  Right.pathLinkTarget |
  Right.pathOpen |
  Right.pathReadlink |
  Right.pathRenameSource |
  Right.pathRenameTarget |
  Right.pathFilestatGet |
  Right.pathFilestatSetSize |
  Right.pathFilestatSetTimes |
  Right.pathSymlink |
  Right.pathRemoveDirectory |
  Right.pathUnlinkFile |
  Right.pollFdReadwrite;

export const STDIN_RIGHTS: number = Right.fdRead | Right.fdFdstatSetFlags | Right.fdFilestatGet | Right.pollFdReadwrite;

export const STDOUT_RIGHTS: number =
  Right.fdWrite | Right.fdDatasync | Right.fdSync | Right.fdFdstatSetFlags | Right.fdFilestatGet | Right.pollFdReadwrite;

export const FileType = {
  unknown: 0,
  directory: 3,
  regularFile: 4,
  symbolicLink: 7,
} as const;

export const OpenFlag = { creat: 1, directory: 2, excl: 4, trunc: 8, all: 15 } as const;

export const FdFlag = { append: 1, dsync: 2, nonblock: 4, rsync: 8, sync: 16, all: 31 } as const;

export const TimeFlag = { atim: 1, atimNow: 2, mtim: 4, mtimNow: 8, all: 15 } as const;

export const LOOKUP_SYMLINK_FOLLOW = 1;

export const Whence = { set: 0, cur: 1, end: 2 } as const;

export const ClockId = { realtime: 0, monotonic: 1, processCputime: 2, threadCputime: 3 } as const;

export const EventType = { clock: 0, fdRead: 1, fdWrite: 2 } as const;

/** In `subscription_clock.flags`: the timeout is a point in time. */
export const SUBSCRIPTION_CLOCK_ABSTIME = 1;

/** In `event_fd_readwrite.flags`: the other side has ended. */
export const EVENT_FD_READWRITE_HANGUP = 1;

export const MAX_NAME_BYTES = 255;
export const MAX_PATH_BYTES = 4096;
export const MAX_SYMLINKS = 40;
