// Walks through the C library's file functions; prints a line for each that does not do what POSIX says.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failures;
#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) {                                                           \
      printf("line %d: %s (errno %s)\n", __LINE__, #condition, strerror(errno)); \
      failures++;                                                                 \
    }                                                                             \
  } while (0)
#define FAILS(call, code) CHECK((call) == -1 && errno == (code))

static int entries(const char *path) {
  DIR *dir = opendir(path);
  if (!dir) return -1;
  int count = 0;
  for (struct dirent *entry; (entry = readdir(dir));) count += entry->d_name[0] != '.';
  closedir(dir);
  return count;
}

int main(void) {
  char buffer[64] = {0};
  struct stat info;

  FILE *input = fopen("/in/data.txt", "r");
  CHECK(input && fgets(buffer, sizeof buffer, input) && strcmp(buffer, "from the host\n") == 0);
  CHECK(input && fseek(input, 5, SEEK_SET) == 0 && fgetc(input) == 't');
  if (input) fclose(input);
  FAILS(open("/in/data.txt", O_RDWR), EPERM);
  FAILS(open("/in/new", O_WRONLY | O_CREAT, 0666), EPERM);
  FAILS(open("/new", O_WRONLY | O_CREAT, 0666), EPERM);
  FAILS(unlink("/in/data.txt"), EPERM);

  CHECK(mkdir("/out/a", 0777) == 0);
  FAILS(mkdir("/out/a", 0777), EEXIST);
  FILE *out = fopen("/out/a/f", "w+");
  CHECK(out && fprintf(out, "%d %s\n", 42, "lines") == 9);
  CHECK(out && fflush(out) == 0 && ftell(out) == 9);
  rewind(out);
  CHECK(fgets(buffer, sizeof buffer, out) && strcmp(buffer, "42 lines\n") == 0);
  CHECK(ftruncate(fileno(out), 100) == 0 && fstat(fileno(out), &info) == 0 && info.st_size == 100);
  CHECK(pwrite(fileno(out), "zz", 2, 98) == 2 && pread(fileno(out), buffer, 10, 96) == 4);
  CHECK(memcmp(buffer, "\0\0zz", 4) == 0);
  fclose(out);

  int fd = open("/out/a/f", O_WRONLY | O_APPEND);
  CHECK(fd >= 0 && write(fd, "end", 3) == 3 && lseek(fd, 0, SEEK_END) == 103 && fsync(fd) == 0);
  FAILS(read(fd, buffer, 1), EBADF);
  close(fd);
  FAILS(close(fd), EBADF);
  FAILS(open("/out/a/f", O_CREAT | O_EXCL | O_WRONLY, 0666), EEXIST);
  FAILS(open("/out/a/f/g", O_RDONLY), ENOTDIR);
  FAILS(open("/out/a", O_WRONLY), EISDIR);
  FAILS(open("/out/none", O_RDONLY), ENOENT);

  CHECK(stat("/out/a/f", &info) == 0 && S_ISREG(info.st_mode) && info.st_size == 103 && info.st_nlink == 1);
  CHECK(stat("/out/a", &info) == 0 && S_ISDIR(info.st_mode));
  CHECK(link("/out/a/f", "/out/hard") == 0 && stat("/out/hard", &info) == 0 && info.st_nlink == 2);
  CHECK(symlink("a/f", "/out/soft") == 0 && readlink("/out/soft", buffer, sizeof buffer) == 3);
  CHECK(lstat("/out/soft", &info) == 0 && S_ISLNK(info.st_mode) && stat("/out/soft", &info) == 0 && S_ISREG(info.st_mode));
  CHECK(entries("/out") == 3 && entries("/out/a") == 1 && entries("/in") == 1);
  FAILS(rmdir("/out/a"), ENOTEMPTY);
  CHECK(rename("/out/a/f", "/out/moved") == 0 && rmdir("/out/a") == 0);
  FAILS(open("/out/soft", O_RDONLY), ENOENT);
  CHECK(unlink("/out/soft") == 0 && unlink("/out/hard") == 0 && entries("/out") == 1);
  for (int i = 0; i < 300; i++) {
    snprintf(buffer, sizeof buffer, "/out/many-%d", i);
    fd = open(buffer, O_CREAT | O_WRONLY, 0666);
    CHECK(fd >= 0 && close(fd) == 0);
  }
  CHECK(entries("/out") == 301);
  CHECK(chdir("/out") == 0 && access("moved", R_OK) == 0 && truncate("moved", 2) == 0);
  printf("%d failures\n", failures);
  return failures != 0;
}
