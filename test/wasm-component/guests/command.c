/* A command: WASI preview 1, made a component with the preview 1 adapter. The first word of stdin says what to do. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void report(const char *what, int failed) { printf("%s: %s\n", what, failed ? strerror(errno) : "done"); }

static void try_open(const char *path, const char *mode) {
  FILE *file = fopen(path, mode);
  printf("%s %s: %s\n", path, mode, file ? "open" : strerror(errno));
  if (file) fclose(file);
}

static void files(void) {
  char line[64] = "";
  FILE *file = fopen("data/in.txt", "r");
  if (file) fgets(line, sizeof line, file), fclose(file);
  printf("read: %s\n", line);
  file = fopen("out/copy.txt", "w");
  if (file) fputs(line, file), fclose(file);
  file = fopen("out/copy.txt", "a");
  if (file) fputs("+", file), fclose(file);
  try_open("data/in.txt", "w");
  try_open("data/in.txt", "r+");
  try_open("new.txt", "w");
  try_open("/etc/passwd", "r");
  try_open("../etc/passwd", "r");
  try_open("out/../../etc/passwd", "r");
  try_open("out/__proto__", "w");
  try_open("out/constructor", "r");
  report("mkdir out/a", mkdir("out/a", 0777));
  report("symlink", symlink("../../etc", "out/a/escape"));
  try_open("out/a/escape/passwd", "r");
  report("absolute symlink", symlink("/etc/passwd", "out/a/absolute"));
  report("rename", rename("out/copy.txt", "out/a/moved.txt"));
  report("unlink input", unlink("data/in.txt"));
  report("rmdir not empty", rmdir("out/a"));
  struct stat found;
  report("stat", stat("out/a/moved.txt", &found));
  printf("size: %lld\n", (long long)found.st_size);
  DIR *folder = opendir("out/a");
  int entries = 0;
  while (folder && readdir(folder)) entries++;
  printf("entries: %d\n", entries);
}

static void fill(void) {
  static char block[65536];
  FILE *file = fopen("out/big", "w");
  long long total = 0;
  for (int i = 0; i < 1000 && fwrite(block, 1, sizeof block, file) == sizeof block; i++) total += sizeof block;
  printf("%s\n", strerror(errno));
}

int main(int count, char **arguments) {
  char word[32] = "";
  int code = 0;
  scanf("%31s %d", word, &code);
  if (!strcmp(word, "exit")) exit(code);
  if (!strcmp(word, "return")) return code;
  if (!strcmp(word, "abort")) abort();
  if (!strcmp(word, "files")) files();
  if (!strcmp(word, "fill")) fill();
  if (!strcmp(word, "host")) {
    extern char **environ;
    printf("%d %s", count, arguments[0]);
    for (char **entry = environ; *entry; entry++) printf(" %s", *entry);
    fprintf(stderr, "logged\n");
  }
  if (!strcmp(word, "flood")) for (;;) puts("0123456789012345678901234567890123456789");
  if (!strcmp(word, "sleep")) {
    struct timespec time = {code / 1000, code % 1000 * 1000000L}, before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    nanosleep(&time, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    printf("%lld\n", (after.tv_sec - before.tv_sec) * 1000LL + (after.tv_nsec - before.tv_nsec) / 1000000);
  }
  if (!strcmp(word, "random")) {
    unsigned long long value;
    getentropy(&value, sizeof value);
    printf("%llx\n", value);
  }
  return 0;
}
