import { execFile } from "node:child_process";
import { chown, mkdir, readFile, rm, rmdir, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { InputFile } from "../../backend.ts";
import type { LimitReading } from "../../limits.ts";

const run = promisify(execFile);
const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
/** One file or folder for each so many bytes of the limit, and some besides. */
const bytesPerInode = 4096;
const minInodes = 1024;
/** What a file system in memory is counted in. */
const pageBytes = 4096;

export interface ScratchOptions {
  readonly path: string;
  readonly diskBytes: number;
  /** To whom it belongs. */
  readonly owner: number;
}

export interface BoundFile {
  /** On the host. */
  readonly source: string;
  /** Relative to the tool's working folder. */
  readonly path: string;
}

/**
 * The folders that a run may write to, on a file system in memory that is as large as its limit, made on this host and bound into
 * the container. Its pages count as the tool's memory. Needs the right to mount.
 */
export class Scratch {
  readonly path: string;
  readonly work: string;
  readonly tmp: string;
  readonly #inputs: string;
  readonly #owner: number;

  private constructor({ path, owner }: ScratchOptions) {
    this.path = path;
    this.work = join(path, "work");
    this.tmp = join(this.work, "tmp");
    this.#inputs = join(path, "inputs");
    this.#owner = owner;
  }

  static async open(options: ScratchOptions): Promise<Scratch> {
    const { path, diskBytes, owner } = options;
    const inodes = minInodes + Math.ceil(diskBytes / bytesPerInode);
    const size = Math.floor(diskBytes / pageBytes) * pageBytes;
    await mkdir(path, { recursive: true, mode: 0o700 });
    const settings = `size=${size},nr_inodes=${inodes},mode=0755,nosuid,nodev`;
    await run("mount", ["-t", "tmpfs", "-o", settings, "toolruntime", path], { env });
    const scratch = new Scratch(options);
    const folders = [scratch.work, join(scratch.work, "out"), scratch.tmp];
    await Promise.all([...folders, scratch.#inputs].map((folder) => mkdir(folder, { recursive: true, mode: 0o700 })));
    for (const folder of folders) await chown(folder, owner, owner);
    return scratch;
  }

  /**
   * Writes the input files. Each is to be bound into the container by itself, and read-only: its folder is the tool's own, which could
   * otherwise take it away.
   */
  async fill(files: readonly InputFile[]): Promise<readonly BoundFile[]> {
    const bound: BoundFile[] = [];
    for (const { path, stream } of files) {
      const source = join(this.#inputs, String(bound.length));
      await writeFile(source, stream(), { mode: 0o444, flag: "wx" });
      for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) {
        await mkdir(join(this.work, folder), { recursive: true });
        await chown(join(this.work, folder), this.#owner, this.#owner);
      }
      bound.push({ source, path });
    }
    return bound;
  }

  async reading(): Promise<LimitReading> {
    const { bsize, blocks, bavail } = await statfs(this.path);
    return {
      limit: "disk",
      applied: bsize * blocks,
      source: `size of the tmpfs ${this.path}`,
      peak: bsize * (blocks - bavail),
      hit: bavail === 0 ? "yes" : "unknown",
    };
  }

  async remove(): Promise<void> {
    await removeScratch(this.path);
  }
}

/** Takes a scratch folder away, mounted or not. */
export async function removeScratch(path: string): Promise<void> {
  const mounts = await readFile("/proc/self/mountinfo", "utf8");
  const isMounted = mounts.split("\n").some((line) => line.split(" ")[4] === path);
  // Lazily: a process that the kernel has not quite ended may still be in it.
  if (isMounted) await run("umount", ["-l", path], { env });
  await rmdir(path).catch(() => rm(path, { recursive: true, force: true }));
}

/** Whether this process may mount. */
export async function canMount(path: string): Promise<boolean> {
  try {
    const trial = await Scratch.open({ path, diskBytes: 65_536, owner: 0 });
    await trial.remove();
    return true;
  } catch {
    await removeScratch(path).catch(() => undefined);
    return false;
  }
}
