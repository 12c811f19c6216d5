import type { SecurityProfile } from "../../profile.ts";

/** What a container of a profile is like, whichever engine makes it. */
export interface ContainerSettings {
  /** `uid:gid`; absent where the image's own user holds. */
  readonly user?: string;
  readonly isRootReadOnly: boolean;
  readonly dropsCapabilities: boolean;
  readonly noNewPrivileges: boolean;
  /** Descriptors that a process may have open. */
  readonly maxOpenFiles: number;
}

/** Nobody and nogroup of Debian and its like; an image need not know the number. */
export const nobody = 65_534;

export const containerSettings: Readonly<Record<SecurityProfile, ContainerSettings>> = {
  dev: { isRootReadOnly: false, dropsCapabilities: false, noNewPrivileges: false, maxOpenFiles: 4096 },
  standard: {
    user: `${nobody}:${nobody}`,
    isRootReadOnly: true,
    dropsCapabilities: true,
    noNewPrivileges: true,
    maxOpenFiles: 1024,
  },
  hardened: {
    user: `${nobody}:${nobody}`,
    isRootReadOnly: true,
    dropsCapabilities: true,
    noNewPrivileges: true,
    maxOpenFiles: 256,
  },
};

/** What an image's own user may do in `dev`: what container engines leave to root by default. */
export const devCapabilities: readonly string[] = `CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_NET_BIND_SERVICE
  CAP_SETFCAP CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_CHROOT`.split(/\s+/);

/** Where the machine is short of memory, tools are ended before the service is. */
export const oomScoreAdj = 500;

/** Threat: files of the kernel's that tell of the host, or that change it. */
export const maskedPaths: readonly string[] = `/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats
  /proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi /proc/kmsg /proc/kallsyms /proc/kpagecount /proc/kpageflags
  /proc/kpagecgroup /sys/firmware /sys/devices/virtual/powercap /sys/kernel/debug /sys/kernel/security`.split(/\s+/);
export const readonlyPaths: readonly string[] = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger".split(" ");

/** Where a tool works, finds its input files, and leaves what it hands back (in `out`). */
export const workPath = "/work";
export const tmpPath = "/tmp";
