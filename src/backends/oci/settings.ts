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

/** Where a tool works, finds its input files, and leaves what it hands back (in `out`). */
export const workPath = "/work";
export const tmpPath = "/tmp";
