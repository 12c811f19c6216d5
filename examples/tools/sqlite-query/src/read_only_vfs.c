/* SQLite's view of the sandbox: database files for reading, and nothing else.
   SQLITE_OS_OTHER leaves out SQLite's own file systems, which need locks and memory maps that WASI lacks. */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

enum { MAX_PATH_BYTES = 1024 };

/* Bytes 18 and 19 of a database say "2" where it was last in WAL mode. Without its -wal file, which main.c
   makes sure of, it is the same as a "1" for a reader (https://sqlite.org/fileformat2.html, section 1.3.3). */
enum { WRITE_VERSION_AT = 18, READ_VERSION_AT = 19, WAL_VERSION = 2, ROLLBACK_VERSION = 1 };

struct file {
  sqlite3_file base;
  int fd;
};

static int file_close(sqlite3_file *base) {
  return close(((struct file *)base)->fd) == 0 ? SQLITE_OK : SQLITE_IOERR_CLOSE;
}

static void hide_wal_mode(uint8_t *bytes, int count, sqlite3_int64 offset) {
  for (sqlite3_int64 at = WRITE_VERSION_AT; at <= READ_VERSION_AT; at++) {
    if (at >= offset && at < offset + count && bytes[at - offset] == WAL_VERSION) bytes[at - offset] = ROLLBACK_VERSION;
  }
}

static int file_read(sqlite3_file *base, void *to, int count, sqlite3_int64 offset) {
  int done = 0;
  while (done < count) {
    ssize_t got = pread(((struct file *)base)->fd, (char *)to + done, (size_t)(count - done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SQLITE_IOERR_READ;
    if (got == 0) break;
    done += (int)got;
  }
  hide_wal_mode(to, done, offset);
  if (done == count) return SQLITE_OK;
  memset((char *)to + done, 0, (size_t)(count - done));
  return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *from, int count, sqlite3_int64 offset) {
  (void)base, (void)from, (void)count, (void)offset;
  return SQLITE_READONLY;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size) {
  (void)base, (void)size;
  return SQLITE_READONLY;
}

static int file_nothing(sqlite3_file *base, int flags) {
  (void)base, (void)flags;
  return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
  struct stat status;
  if (fstat(((struct file *)base)->fd, &status) != 0) return SQLITE_IOERR_FSTAT;
  *size = status.st_size;
  return SQLITE_OK;
}

static int file_is_reserved(sqlite3_file *base, int *answer) {
  (void)base;
  *answer = 0;
  return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int operation, void *argument) {
  (void)base, (void)operation, (void)argument;
  return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *base) {
  (void)base;
  return 4096;
}

static int file_characteristics(sqlite3_file *base) {
  (void)base;
  return SQLITE_IOCAP_IMMUTABLE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_nothing,
    .xFileSize = file_size,
    .xLock = file_nothing,
    .xUnlock = file_nothing,
    .xCheckReservedLock = file_is_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out_flags) {
  (void)vfs;
  struct file *file = (struct file *)base;
  file->base.pMethods = NULL;
  if (path == NULL || !(flags & SQLITE_OPEN_MAIN_DB) || (flags & SQLITE_OPEN_READWRITE)) return SQLITE_CANTOPEN;
  file->fd = open(path, O_RDONLY);
  if (file->fd < 0) return SQLITE_CANTOPEN;
  file->base.pMethods = &methods;
  if (out_flags != NULL) *out_flags = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READONLY;
  return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync) {
  (void)vfs, (void)path, (void)sync;
  return SQLITE_READONLY;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *answer) {
  (void)vfs, (void)path, (void)flags;
  *answer = 0;
  return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int capacity, char *to) {
  (void)vfs;
  size_t length = strlen(path);
  if (length >= (size_t)capacity) return SQLITE_CANTOPEN;
  memcpy(to, path, length + 1);
  return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int count, char *to) {
  (void)vfs;
  memset(to, 0, (size_t)count);
  int taken = count > 256 ? 256 : count; /* getentropy gives 256 bytes at most */
  return getentropy(to, (size_t)taken) == 0 ? taken : 0;
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds) {
  (void)vfs, (void)microseconds;
  return 0;
}

/* Julian day times 86,400,000. */
static int vfs_time64(sqlite3_vfs *vfs, sqlite3_int64 *to) {
  (void)vfs;
  struct timespec time;
  if (clock_gettime(CLOCK_REALTIME, &time) != 0) return SQLITE_ERROR;
  *to = 210866760000000LL + (sqlite3_int64)time.tv_sec * 1000 + time.tv_nsec / 1000000;
  return SQLITE_OK;
}

static int vfs_time(sqlite3_vfs *vfs, double *to) {
  sqlite3_int64 time;
  int code = vfs_time64(vfs, &time);
  if (code == SQLITE_OK) *to = (double)time / 86400000.0;
  return code;
}

static int vfs_last_error(sqlite3_vfs *vfs, int capacity, char *to) {
  (void)vfs, (void)capacity, (void)to;
  return errno;
}

int sqlite3_os_init(void) {
  static sqlite3_vfs vfs = {
      .iVersion = 2,
      .szOsFile = sizeof(struct file),
      .mxPathname = MAX_PATH_BYTES,
      .zName = "read-only",
      .xOpen = vfs_open,
      .xDelete = vfs_delete,
      .xAccess = vfs_access,
      .xFullPathname = vfs_full_path,
      .xRandomness = vfs_random,
      .xSleep = vfs_sleep,
      .xCurrentTime = vfs_time,
      .xGetLastError = vfs_last_error,
      .xCurrentTimeInt64 = vfs_time64,
  };
  return sqlite3_vfs_register(&vfs, 1);
}

int sqlite3_os_end(void) { return SQLITE_OK; }
