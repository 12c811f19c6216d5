/*
 * The probe as a WASI preview 1 command: does what its input says, and nothing else. probe.mjs is the same for a
 * command; both answer alike, so that one list of cases fits every backend. The list of what it can do is in probe.ts.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "json.h"

extern char **environ;
static int runs;

static void put(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, bytes, length);
    if (written < 0) _exit(74);
    bytes += written;
    length -= (size_t)written;
  }
}

/* Text that is put together before it is written in one piece. */
struct text {
  char *bytes;
  size_t length;
  size_t capacity;
};

static void append(struct text *text, const char *bytes, size_t length) {
  while (text->length + length > text->capacity) {
    text->capacity = text->capacity == 0 ? 4096 : text->capacity * 2;
    text->bytes = realloc(text->bytes, text->capacity);
    if (text->bytes == NULL) abort();
  }
  memcpy(text->bytes + text->length, bytes, length);
  text->length += length;
}

static void append_text(struct text *text, const char *string) { append(text, string, strlen(string)); }

static void append_number(struct text *text, int64_t number) {
  char digits[24];
  int at = sizeof digits;
  bool is_negative = number < 0;
  uint64_t rest = is_negative ? -(uint64_t)number : (uint64_t)number;
  do digits[--at] = (char)('0' + rest % 10);
  while ((rest /= 10) > 0);
  if (is_negative) digits[--at] = '-';
  append(text, digits + at, sizeof digits - (size_t)at);
}

static void append_quoted(struct text *text, const char *string, size_t length) {
  static const char hex[] = "0123456789abcdef";
  append(text, "\"", 1);
  for (size_t at = 0; at < length; at++) {
    unsigned char c = (unsigned char)string[at];
    if (c == '"' || c == '\\') append(text, "\\", 1);
    if (c < 32) {
      char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
      append(text, escape, sizeof escape);
    } else {
      append(text, (const char *)&c, 1);
    }
  }
  append(text, "\"", 1);
}

static void put_text(int fd, struct text *text) { put(fd, text->bytes, text->length); }

/* One JSON object with one whole number, as most answers are. */
static void answer_number(const char *key, int64_t number) {
  struct text text = {0};
  append_text(&text, "{\"");
  append_text(&text, key);
  append_text(&text, "\":");
  append_number(&text, number);
  append_text(&text, "}");
  put_text(1, &text);
}

static const char *error_name(int error) {
  switch (error) {
    case ENOENT: return "ENOENT";
    case EACCES: return "EACCES";
    case EPERM: return "EPERM";
    case EROFS: return "EROFS";
    case ENOTCAPABLE: return "ENOTCAPABLE";
    case EEXIST: return "EEXIST";
    case EISDIR: return "EISDIR";
    case ENOTDIR: return "ENOTDIR";
    case ENOSPC: return "ENOSPC";
    case EDQUOT: return "EDQUOT";
    case EFBIG: return "EFBIG";
    default: return "EOTHER";
  }
}

static void answer_outcome(bool ok) {
  struct text text = {0};
  append_text(&text, ok ? "{\"ok\":true}" : "{\"ok\":false,\"error\":\"");
  if (!ok) append_text(&text, error_name(errno));
  if (!ok) append_text(&text, "\"}");
  put_text(1, &text);
}

static int stream_of(const struct json *task) { return strcmp(json_text(task, "to", "stdout"), "stderr") == 0 ? 2 : 1; }

static int64_t now_us(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void sleep_ms(int64_t ms) {
  struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

/* The bytes that "text" or "hex" names. */
static void payload(const struct json *task, struct text *bytes) {
  const struct json *text = json_get(task, "text");
  if (text != NULL && text->kind == JSON_STRING) {
    append(bytes, text->text, text->length);
    return;
  }
  const char *hex = json_text(task, "hex", "");
  for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
    struct json_reader reader = {.at = hex, .end = hex + 2};
    char byte = (char)json_hex4(&reader);
    append(bytes, &byte, 1);
  }
}

static void do_write(const struct json *task) {
  struct text bytes = {0};
  payload(task, &bytes);
  for (int64_t left = json_number(task, "count", 1); left > 0; left--) put(stream_of(task), bytes.bytes, bytes.length);
}

/* A pattern in which no two pieces are alike, so that bytes lost, doubled or out of order show. */
static char pattern(uint64_t at) { return (char)(32 + (at + (at >> 8) * 7 + (at >> 16) * 13) % 95); }

/* With "report" it tells on stderr how long the first write took that took at least so many ms, and what went before it. */
static void do_fill(const struct json *task) {
  int64_t bytes = json_number(task, "bytes", 0);
  int64_t chunk = json_number(task, "chunk", 65536);
  int64_t report_ms = json_number(task, "report", 0);
  int64_t stall_ms = 0;
  int64_t before = bytes;
  char *piece = malloc((size_t)chunk);
  if (piece == NULL) abort();
  for (int64_t done = 0; done < bytes; done += chunk) {
    int64_t length = bytes - done < chunk ? bytes - done : chunk;
    for (int64_t at = 0; at < length; at++) piece[at] = pattern((uint64_t)(done + at));
    int64_t start = now_us();
    put(stream_of(task), piece, (size_t)length);
    int64_t took_ms = (now_us() - start) / 1000;
    if (stall_ms > 0 || took_ms < report_ms) continue;
    stall_ms = took_ms;
    before = done;
  }
  if (report_ms == 0) return;
  struct text text = {0};
  append_text(&text, "{\"before\":");
  append_number(&text, before);
  append_text(&text, ",\"stallMs\":");
  append_number(&text, stall_ms);
  append_text(&text, "}");
  put_text(2, &text);
}

static void make_parents(const char *path) {
  char *copy = strdup(path);
  for (char *slash = strchr(copy, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(copy, 0777);
    *slash = '/';
  }
  free(copy);
}

/* Writes "bytes" zero bytes where that is named, the payload otherwise. */
static bool save(const char *path, const struct json *task) {
  make_parents(path);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (fd < 0) return false;
  struct text bytes = {0};
  payload(task, &bytes);
  bool ok = bytes.length == 0 || write(fd, bytes.bytes, bytes.length) == (ssize_t)bytes.length;
  static char zeros[65536];
  for (int64_t left = json_number(task, "bytes", 0); ok && left > 0;) {
    ssize_t written = write(fd, zeros, left < (int64_t)sizeof zeros ? (size_t)left : sizeof zeros);
    ok = written > 0;
    left -= written;
  }
  int error = errno;
  close(fd);
  errno = error;
  return ok;
}

static void do_save(const struct json *task) {
  int64_t count = json_number(task, "count", 0);
  const char *path = json_text(task, "path", "");
  if (count == 0) {
    answer_outcome(save(path, task));
    return;
  }
  int64_t saved = 0;
  for (; saved < count; saved++) {
    struct text numbered = {0};
    append_text(&numbered, path);
    append_number(&numbered, saved);
    append(&numbered, "", 1);
    bool ok = save(numbered.bytes, task);
    free(numbered.bytes);
    if (!ok) break;
  }
  answer_number("saved", saved);
}

static void do_read(const struct json *task) {
  int fd = open(json_text(task, "path", ""), O_RDONLY);
  if (fd < 0) {
    answer_outcome(false);
    return;
  }
  static char buffer[65536];
  for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) > 0;) put(1, buffer, (size_t)got);
  close(fd);
}

static void do_remove(const struct json *task) { answer_outcome(unlink(json_text(task, "path", "")) == 0); }

struct names {
  char **names;
  size_t count;
};

static void collect(const char *folder, struct names *found) {
  DIR *handle = opendir(folder);
  if (handle == NULL) return;
  for (struct dirent *entry; (entry = readdir(handle)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    struct text path = {0};
    if (strcmp(folder, ".") != 0) {
      append_text(&path, folder);
      append(&path, "/", 1);
    }
    append_text(&path, entry->d_name);
    append(&path, "", 1);
    struct stat status;
    if (lstat(path.bytes, &status) == 0 && S_ISDIR(status.st_mode)) {
      collect(path.bytes, found);
      continue;
    }
    found->names = realloc(found->names, (found->count + 1) * sizeof *found->names);
    if (found->names == NULL) abort();
    found->names[found->count++] = path.bytes;
  }
  closedir(handle);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void do_list(const struct json *task) {
  struct names found = {0};
  struct text text = {0};
  collect(json_text(task, "path", "."), &found);
  if (found.count > 0) qsort(found.names, found.count, sizeof *found.names, by_text);
  append_text(&text, "[");
  for (size_t at = 0; at < found.count; at++) {
    if (at > 0) append_text(&text, ",");
    append_quoted(&text, found.names[at], strlen(found.names[at]));
  }
  append_text(&text, "]");
  put_text(1, &text);
}

static void do_env(void) {
  struct text text = {0};
  append_text(&text, "{");
  for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
    const char *equals = strchr(*entry, '=');
    if (equals == NULL) continue;
    if (entry != environ) append_text(&text, ",");
    append_quoted(&text, *entry, (size_t)(equals - *entry));
    append_text(&text, ":");
    append_quoted(&text, equals + 1, strlen(equals + 1));
  }
  append_text(&text, "}");
  put_text(1, &text);
}

static void do_spin(const struct json *task) {
  int64_t ms = json_number(task, "ms", -1);
  int64_t end = now_us() + ms * 1000;
  volatile uint64_t turns = 0;
  while (ms < 0 || now_us() < end) turns++;
}

static void do_clock(void) {
  struct timespec time;
  struct text text = {0};
  clock_gettime(CLOCK_REALTIME, &time);
  append_text(&text, "{\"realtimeMs\":");
  append_number(&text, (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000);
  append_text(&text, ",\"monotonicUs\":");
  append_number(&text, now_us());
  append_text(&text, "}");
  put_text(1, &text);
}

static void do_random(void) {
  static const char hex[] = "0123456789abcdef";
  unsigned char bytes[32];
  struct text text = {0};
  if (getentropy(bytes, sizeof bytes) != 0) _exit(74);
  append_text(&text, "{\"random\":\"");
  for (size_t at = 0; at < sizeof bytes; at++) {
    char digits[2] = {hex[bytes[at] >> 4], hex[bytes[at] & 15]};
    append(&text, digits, sizeof digits);
  }
  append_text(&text, "\"}");
  put_text(1, &text);
}

/* Takes memory a MiB at a time, touches all of it, keeps it, and says after each 4 MiB how much it has. */
static void do_allocate(const struct json *task) {
  const size_t step = 1 << 20;
  int64_t bytes = json_number(task, "bytes", 0);
  for (int64_t taken = 0; taken < bytes;) {
    char *piece = malloc(step);
    if (piece == NULL) {
      put(1, "failed\n", 7);
      _exit(1);
    }
    memset(piece, 0xa5, step);
    /* Keeps the compiler from leaving out an allocation that nobody reads. */
    __asm__ volatile("" : : "r"(piece) : "memory");
    taken += (int64_t)step;
    if (taken % (4 * (int64_t)step) != 0) continue;
    struct text text = {0};
    append_number(&text, taken);
    append(&text, "\n", 1);
    put_text(1, &text);
    free(text.bytes);
  }
  put(1, "done\n", 5);
  sleep_ms(json_number(task, "holdMs", 0));
}

static void do_heartbeat(const struct json *task) {
  for (int64_t left = json_number(task, "count", 1000); left > 0; left--) {
    put(1, "beat\n", 5);
    sleep_ms(json_number(task, "everyMs", 20));
  }
}

/* Fills memory with the bytes of "hex", each xored with 0x5a so that the input itself is no copy of them. */
static void do_litter(const struct json *task) {
  struct text bytes = {0};
  payload(task, &bytes);
  for (size_t at = 0; at < bytes.length; at++) bytes.bytes[at] ^= 0x5a;
  const size_t size = 4 << 20;
  char *ground = malloc(size);
  if (ground == NULL) abort();
  for (size_t at = 0; at + bytes.length <= size; at += bytes.length) memcpy(ground + at, bytes.bytes, bytes.length);
  __asm__ volatile("" : : "r"(ground) : "memory");
  answer_number("runs", ++runs);
}

/* Counts what `litter` of an earlier run has left in all of the memory that there is, and in as much again. */
static void do_scan(const struct json *task) {
  struct text bytes = {0};
  payload(task, &bytes);
  volatile const char *memory = (const char *)1024;
  __builtin_wasm_memory_grow(0, 96);
  size_t size = __builtin_wasm_memory_size(0) * 65536 - 1024;
  int64_t found = 0;
  for (size_t at = 0; at + bytes.length <= size; at++) {
    size_t same = 0;
    while (same < bytes.length && memory[at + same] == (char)(bytes.bytes[same] ^ 0x5a)) same++;
    if (same == bytes.length) found++;
  }
  struct text text = {0};
  append_text(&text, "{\"found\":");
  append_number(&text, found);
  append_text(&text, ",\"runs\":");
  append_number(&text, ++runs);
  append_text(&text, "}");
  put_text(1, &text);
}

static void run(const struct json *task, const struct text *input) {
  const char *what = json_text(task, "do", "echo");
#define DO(name) if (strcmp(what, name) == 0)
  DO("echo") put(1, input->bytes, input->length);
  else DO("write") do_write(task);
  else DO("fill") do_fill(task);
  else DO("exit") exit((int)json_number(task, "code", 0));
  else DO("trap") __builtin_trap();
  else DO("read") do_read(task);
  else DO("save") do_save(task);
  else DO("remove") do_remove(task);
  else DO("list") do_list(task);
  else DO("env") do_env();
  else DO("sleep") sleep_ms(json_number(task, "ms", 0));
  else DO("clock") do_clock();
  else DO("random") do_random();
  else DO("spin") do_spin(task);
  else DO("allocate") do_allocate(task);
  else DO("heartbeat") do_heartbeat(task);
  else DO("litter") do_litter(task);
  else DO("scan") do_scan(task);
  else DO("steps") {
    const struct json *steps = json_get(task, "steps");
    for (const struct json *step = steps == NULL ? NULL : steps->child; step != NULL; step = step->next) run(step, input);
  }
  else {
    put(2, "unknown\n", 8);
    exit(64);
  }
#undef DO
}

int main(void) {
  static const char deaf[] = "{\"do\":\"deaf\"";
  static char buffer[65536];
  struct text input = {0};
  for (ssize_t got; (got = read(0, buffer, sizeof buffer)) > 0;) {
    append(&input, buffer, (size_t)got);
    /* Ends without having read its input: the host must not fail on a reader that is gone. */
    if (input.length >= sizeof deaf - 1 && memcmp(input.bytes, deaf, sizeof deaf - 1) == 0) return 0;
  }
  struct json_reader reader = {.at = input.bytes, .end = input.bytes + input.length};
  run(json_value(&reader, 0), &input);
  return 0;
}
