/*
 * Says what the kernel that answers it says of itself. Writes its first argument on a line of its own, then, each after its name on a
 * line, /proc/version, the boot id, and the kernel's log.
 *
 * No library: it is alone in its root file system.
 */
typedef unsigned long word;

enum { AT_FDCWD_ = -100, SYSLOG_READ_ALL_ = 3, STDOUT_ = 1 };

#if defined(__x86_64__)
enum { NR_write = 1, NR_read = 0, NR_openat = 257, NR_exit_group = 231, NR_syslog = 103 };
static long call(long n, long a, long b, long c) {
  long result;
  register long r10 __asm__("r10") = 0;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
#elif defined(__aarch64__)
enum { NR_write = 64, NR_read = 63, NR_openat = 56, NR_exit_group = 94, NR_syslog = 116 };
static long call(long n, long a, long b, long c) {
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = 0;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}
__asm__(".globl _start\n_start: mov x29, #0\n mov x0, sp\n bl begin\n");
#else
#error "not written for this machine"
#endif

static void say(const char *text, word n) {
  while (n > 0) {
    const long written = call(NR_write, STDOUT_, (long)text, (long)n);
    if (written <= 0) return;
    text += written;
    n -= (word)written;
  }
}

static void say_text(const char *text) {
  word n = 0;
  while (text[n] != 0) n++;
  say(text, n);
}

static void say_file(const char *path) {
  char bytes[1024];
  const long fd = call(NR_openat, AT_FDCWD_, (long)path, 0);
  if (fd < 0) return;
  for (;;) {
    const long n = call(NR_read, fd, (long)bytes, sizeof bytes);
    if (n <= 0) return;
    say(bytes, (word)n);
  }
}

__attribute__((used)) _Noreturn void begin(word *stack) {
  char log[8192];
  char **argv = (char **)(stack + 1);
  if (stack[0] > 1) say_text(argv[1]);
  say_text("\nversion\n");
  say_file("/proc/version");
  say_text("\nboot\n");
  say_file("/proc/sys/kernel/random/boot_id");
  say_text("\nlog\n");
  const long n = call(NR_syslog, SYSLOG_READ_ALL_, (long)log, sizeof log);
  if (n > 0) say(log, (word)n);
  for (;;) call(NR_exit_group, 0, 0, 0);
}
