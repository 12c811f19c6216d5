# Makes calls by which containers have been left, or that look into the kernel, and says what came of each.
import ctypes, errno, os, socket, subprocess, threading

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
X64 = os.uname().machine == "x86_64"


def attempt(name, number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_void_p(a) if isinstance(a, int) else a for a in args])
    print(f"{name}: {errno.errorcode.get(ctypes.get_errno(), 'done') if result < 0 else 'done'}")


def numbers(x64, arm64):
    return x64 if X64 else arm64


CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET = 0x10000000, 0x20000, 0x40000000
attempt("unshare user", numbers(272, 97), CLONE_NEWUSER)
attempt("unshare mount", numbers(272, 97), CLONE_NEWNS)
attempt("clone user", numbers(56, 220), CLONE_NEWUSER | 17, 0, 0, 0, 0)
attempt("clone3", numbers(435, 435), 0, 0)
attempt("setns", numbers(308, 268), 0, 0)
attempt("mount", numbers(165, 40), 0, 0, 0, 0, 0)
attempt("fsopen", numbers(430, 430), b"tmpfs", 0)
attempt("move_mount", numbers(429, 429), 0, 0, 0, 0, 0)
attempt("ptrace", numbers(101, 117), 16, 1, 0, 0)
attempt("process_vm_readv", numbers(310, 270), 1, 0, 0, 0, 0, 0)
attempt("bpf", numbers(321, 280), 0, 0, 0)
attempt("userfaultfd", numbers(323, 282), 0)
attempt("io_uring_setup", numbers(425, 425), 1, 0)
attempt("keyctl", numbers(250, 219), 0, 0, 0, 0, 0)
attempt("add_key", numbers(248, 217), 0, 0, 0, 0, 0)
attempt("kexec_load", numbers(246, 104), 0, 0, 0, 0)
attempt("perf_event_open", numbers(298, 241), 0, 0, 0, 0, 0)
attempt("open_by_handle_at", numbers(304, 265), 0, 0, 0)
attempt("init_module", numbers(175, 105), 0, 0, 0)
attempt("syslog", numbers(103, 116), 10, 0, 0)
attempt("reboot", numbers(169, 142), 0, 0, 0, 0)
attempt("personality read implies exec", numbers(135, 92), 0x0400000)
for family, name in ((40, "vsock"), (38, "alg"), (17, "packet"), (31, "bluetooth")):
    try:
        socket.socket(family, socket.SOCK_SEQPACKET if family == 38 else socket.SOCK_STREAM).close()
        print(f"socket {name}: done")
    except OSError as error:
        print(f"socket {name}: {errno.errorcode[error.errno]}")
thread = threading.Thread(target=lambda: None)
thread.start()
thread.join()
subprocess.run(["/bin/true"], check=True)
print("looked")
