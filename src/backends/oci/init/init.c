/*
 * The first process of a container. The kernel drops signals for a process that is the first of its PID namespace and has no
 * handler for them, so the tool is its child: it starts the tool, hands signals on to it, collects what other processes leave, and
 * ends with the tool, as a shell would say it: its exit code, or 128 and the number of the signal.
 *
 * Arguments: the program and its arguments. A name without a slash is looked for in PATH. Where the program cannot be executed, one
 * line on stderr says why, with the number of the error, and the exit code is 127 where there is none and 126 otherwise.
 *
 * No library: every image is without one that could be relied on.
 */
#include <asm/unistd.h>

typedef unsigned long word;

enum {
  ENOENT_ = 2,
  EACCES_ = 13,
  ENOTDIR_ = 20,
  ENAMETOOLONG_ = 36,
  SIG_BLOCK_ = 0,
  SIG_SETMASK_ = 2,
  SIGCHLD_ = 17,
  WNOHANG_ = 1,
  PR_SET_DUMPABLE_ = 4,
  PATH_MAX_ = 4096
};

#if defined(__x86_64__)
static long call6(long n, long a, long b, long c, long d, long e) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
}
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
#elif defined(__aarch64__)
static long call6(long n, long a, long b, long c, long d, long e) {
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
__asm__(".globl _start\n_start: mov x29, #0\n mov x0, sp\n bl begin\n");
#else
#error "not written for this machine"
#endif

#define call(n, a, b, c, d) call6((n), (long)(a), (long)(b), (long)(c), (long)(d), 0)

static word length(const char *text) {
  word n = 0;
  while (text[n] != 0) n++;
  return n;
}

static _Noreturn void end(int code) {
  for (;;) call(__NR_exit_group, code, 0, 0, 0);
}

/* There is no data segment, so that the program is one page on kernels of any page size. */
static _Noreturn void refuse(int error) {
  static const char line[] = "toolruntime-init: the program cannot be executed, error ";
  const char tens = (char)('0' + error / 10 % 10);
  const char ones = (char)('0' + error % 10);
  call(__NR_write, 2, line, sizeof line - 1, 0);
  call(__NR_write, 2, &tens, 1, 0);
  call(__NR_write, 2, &ones, 1, 0);
  call(__NR_write, 2, "\n", 1, 0);
  end(error == ENOENT_ ? 127 : 126);
}

static int try_in(const char *folder, word n, char **argv, char **env) {
  char path[PATH_MAX_];
  const word m = length(argv[0]);
  if (n + m + 2 > PATH_MAX_) return ENAMETOOLONG_;
  word at = 0;
  for (word i = 0; i < n; i++) path[at++] = folder[i];
  if (n > 0) path[at++] = '/';
  for (word i = 0; i <= m; i++) path[at++] = argv[0][i];
  return (int)-call(__NR_execve, path, argv, env, 0);
}

/* As execvp(3) looks. Comes back only where nothing could be executed. */
static int execute(char **argv, char **env) {
  for (const char *c = argv[0]; *c != 0; c++)
    if (*c == '/') return (int)-call(__NR_execve, argv[0], argv, env, 0);
  if (argv[0][0] == 0) return ENOENT_;
  const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (char **one = env; *one != 0; one++)
    if ((*one)[0] == 'P' && (*one)[1] == 'A' && (*one)[2] == 'T' && (*one)[3] == 'H' && (*one)[4] == '=') path = *one + 5;
  int worst = ENOENT_;
  for (;;) {
    word n = 0;
    while (path[n] != 0 && path[n] != ':') n++;
    const int error = try_in(path, n, argv, env);
    if (error == EACCES_) worst = EACCES_;
    else if (error != ENOENT_ && error != ENOTDIR_ && error != ENAMETOOLONG_) return error;
    if (path[n] == 0) return worst;
    path += n + 1;
  }
}

/* Collects every process that has ended; ends with the tool. */
static void collect(long tool) {
  for (;;) {
    int status = 0;
    const long pid = call(__NR_wait4, -1, &status, WNOHANG_, 0);
    if (pid <= 0) return;
    if (pid != tool) continue;
    end((status & 0x7f) == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f));
  }
}

__attribute__((used)) _Noreturn void begin(word *stack) {
  const word count = stack[0];
  char **argv = (char **)(stack + 1);
  char **env = argv + count + 1;
  if (count < 2) refuse(ENOENT_);
  const word all = ~0UL;
  word before = 0;
  /* Blocked signals are kept for whoever waits for them, the first process too. */
  call(__NR_rt_sigprocmask, SIG_BLOCK_, &all, &before, sizeof all);
  const long tool = call(__NR_clone, SIGCHLD_, 0, 0, 0);
  if (tool < 0) refuse((int)-tool);
  if (tool == 0) {
    call(__NR_setpgid, 0, 0, 0, 0);
    call(__NR_rt_sigprocmask, SIG_SETMASK_, &before, 0, sizeof before);
    refuse(execute(argv + 1, env));
  }
  /* What this process was given is not the tool's to read in /proc/1. */
  call(__NR_prctl, PR_SET_DUMPABLE_, 0, 0, 0);
  for (;;) {
    const long signal = call(__NR_rt_sigtimedwait, &all, 0, 0, sizeof all);
    if (signal == SIGCHLD_) collect(tool);
    else if (signal > 0) call(__NR_kill, tool, signal, 0, 0);
  }
}
