/** OCI runtime specification, config-linux.md, "Seccomp". */
export interface SeccompProfile {
  readonly defaultAction: "SCMP_ACT_ERRNO";
  readonly defaultErrnoRet: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

interface SeccompRule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArgument[];
}

interface SeccompArgument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: "SCMP_CMP_EQ" | "SCMP_CMP_MASKED_EQ";
}

const EPERM = 1;
const ENOSYS = 38;

/** Calls that any program may make, by what they are about. What is in no list is refused. */
const allowed = {
  files: `access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate fchdir
    fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync
    ftruncate futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
    ioctl lchown lgetxattr link linkat listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat
    newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
    removexattr removexattrat rename renameat renameat2 rmdir sendfile setxattr setxattrat splice stat statfs statmount listmount statx
    symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes vmsplice write writev chroot`,
  memory: `brk get_mempolicy madvise map_shadow_stack mbind membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mprotect
    mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise process_mrelease remap_file_pages
    set_mempolicy set_mempolicy_home_node cachestat`,
  processes: `capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv futex_wake get_robust_list
    get_thread_area getcpu getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit
    getrusage getsid gettid getuid ioprio_get ioprio_set kill pause pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list
    set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority setregid setresgid setresuid setreuid
    setrlimit setsid setuid sysinfo tgkill times tkill uname vfork wait4 waitid arch_prctl landlock_add_rule landlock_create_ruleset
    landlock_restrict_self riscv_hwprobe`,
  signals: `alarm eventfd eventfd2 rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_tgsigqueueinfo sigaltstack signalfd signalfd4`,
  time: `clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime`,
  waiting: `epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old io_cancel io_destroy
    io_getevents io_pgetevents io_setup io_submit poll ppoll pselect6 select`,
  channels: `accept accept4 bind connect getpeername getsockname getsockopt getrandom listen mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 recvfrom recvmmsg recvmsg semctl semget semop semtimedop sendmmsg
    sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketpair`,
} as const;

/** socket(2): Unix, IPv4, IPv6, netlink. Threat: others reach parts of the kernel that are seldom looked at, and vsock the host. */
const addressFamilies = [1, 2, 10, 16];
/** personality(2): Linux, with and without addresses at random, 32-bit `uname`; and the question. */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0x40000, 0xff_ff_ff_ff];
/** clone(2): every flag that asks for a new namespace (mount, cgroup, UTS, IPC, user, PID, network). */
const namespaceFlags = 0x7e_02_00_00;

/** The kernel's own names for the machines that Node runs on. Threat: the second, older entry of a machine passes the rules by. */
const machines: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: "SCMP_ARCH_X86_64", arm64: "SCMP_ARCH_AARCH64" };

/** Which machines there is a profile for. */
export function hasSeccompProfile(arch: NodeJS.Architecture = process.arch): boolean {
  return machines[arch] !== undefined;
}

/**
 * What a container may ask of the kernel: an allow-list. Not in it, and so refused with EPERM: new namespaces and mounts, modules, bpf,
 * perf, io_uring, userfaultfd, keyrings, ptrace and the memory of other processes, clocks, swap, accounting, reboot, kexec, handles of
 * files, ports of the machine.
 */
export function seccompProfile(arch: NodeJS.Architecture = process.arch): SeccompProfile {
  const names = Object.values(allowed).flatMap((text) => text.split(/\s+/));
  const machine = machines[arch];
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures: machine === undefined ? [] : [machine],
    syscalls: [
      { names, action: "SCMP_ACT_ALLOW" },
      ...addressFamilies.map((family) => allowWhere("socket", { index: 0, value: family, op: "SCMP_CMP_EQ" })),
      ...personalities.map((value) => allowWhere("personality", { index: 0, value, op: "SCMP_CMP_EQ" })),
      allowWhere("clone", { index: 0, value: namespaceFlags, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }),
      // Its flags lie in memory, where no rule can look. Libraries that are told that it is not there take clone.
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
    ],
  };
}

function allowWhere(name: string, argument: SeccompArgument): SeccompRule {
  return { names: [name], action: "SCMP_ACT_ALLOW", args: [argument] };
}
