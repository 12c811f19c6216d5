import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { chmod, mkdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ToolRuntimeError } from "../../errors.ts";
import { namesIn } from "../../internal/node/leftover-cgroup.ts";
import { isLeftover } from "../oci/leftovers.ts";
import { imageError, type FolderImage, type ImageFolder } from "./image-folder.ts";
import { applyLayer, NoRoomError } from "./unpack.ts";

export interface StoreOptions {
  readonly path: string;
  /** All images together, as they are unpacked. */
  readonly maxBytes: number;
  /** Names this service: what it uses is not taken away by another. */
  readonly owner: string;
}

const hexPattern = /^[0-9a-f]{64}$/;
/** Where file systems are mounted in a sandbox: the root is read-only then. */
const mountPoints = ["dev", "proc", "sys", "tmp", "work"];

/**
 * The root file systems of images, unpacked once and known by the digest of what they are made of. Services of one user share them; what
 * nobody uses goes when there is no room, that which was not used for longest first.
 *
 * Below the path: `<digest>/rootfs`, `<digest>/bytes`, and `<digest>/users/<owner>` for each service that uses it. What is being made
 * or taken away has its owner's name.
 */
export class RootfsStore {
  readonly #options: StoreOptions;
  readonly #ready = new Map<string, Promise<string>>();
  #made = 0;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  /** @throws `ERR_ARTIFACT_TOO_LARGE`, `ERR_ARTIFACT_INVALID`, `ERR_BACKEND_FAILED`. */
  take(images: ImageFolder, image: FolderImage): Promise<string> {
    const hex = image.configDigest.slice("sha256:".length);
    const known = this.#ready.get(hex);
    if (known !== undefined) return known;
    const taken = this.#take(images, image, hex);
    this.#ready.set(hex, taken);
    taken.catch(() => this.#ready.delete(hex));
    return taken;
  }

  async #take(images: ImageFolder, image: FolderImage, hex: string): Promise<string> {
    const home = join(this.#options.path, hex);
    for (let round = 0; round < 3; round++) {
      if (await this.#use(home)) return join(home, "rootfs");
      await this.#unpack(images, image, home);
    }
    throw imageError("its files are taken away as often as they are unpacked; look who removes them", image.configDigest);
  }

  async #use(home: string): Promise<boolean> {
    try {
      await writeFile(join(home, "users", this.#options.owner), "");
      await utimes(home, new Date(), new Date());
      return (await stat(join(home, "rootfs"))).isDirectory();
    } catch {
      return false;
    }
  }

  async #unpack(images: ImageFolder, image: FolderImage, home: string): Promise<void> {
    const { path, owner, maxBytes } = this.#options;
    const making = join(path, `${owner}-${this.#made++}`);
    const rootfs = join(making, "rootfs");
    try {
      await mkdir(rootfs, { recursive: true });
      // A tool is nobody, and has to get through it; who else may is decided by the folder above.
      await chmod(rootfs, 0o755);
      await mkdir(join(making, "users"));
      const room = { bytesLeft: maxBytes };
      for (const layer of image.layers) await applyLayer(rootfs, images.openLayer(layer), room);
      for (const name of mountPoints) await mkdir(join(rootfs, name)).catch(ignoreExisting);
      await writeFile(join(making, "bytes"), String(maxBytes - room.bytesLeft));
      await this.#makeRoom(maxBytes - room.bytesLeft);
      await rename(making, home).catch(ignoreExisting);
    } catch (error) {
      throw unpackError(image, error);
    } finally {
      await rm(making, { recursive: true, force: true });
    }
  }

  async #makeRoom(bytes: number): Promise<void> {
    const { path, maxBytes } = this.#options;
    const kept = namesIn(path)
      .filter((name) => hexPattern.test(name))
      .map((name) => ({ name, bytes: 0, usedAt: timeOf(join(path, name)) }))
      .sort((a, b) => a.usedAt - b.usedAt);
    for (const one of kept) one.bytes = Number(await readFile(join(path, one.name, "bytes"), "utf8").catch(() => "0"));
    let sum = kept.reduce((total, one) => total + one.bytes, bytes);
    for (const one of kept) {
      if (sum <= maxBytes) return;
      if (await this.#drop(join(path, one.name))) sum -= one.bytes;
    }
    if (sum > maxBytes) throw new NoRoomError("the images that are in use leave it no room");
  }

  /** @returns whether it is gone: what a service uses stays. */
  async #drop(home: string): Promise<boolean> {
    if (isUsed(home)) return false;
    const dropped = join(this.#options.path, `${this.#options.owner}-${this.#made++}`);
    try {
      await rename(home, dropped);
    } catch {
      return true;
    }
    // Whoever has come meanwhile keeps it.
    if (
      isUsed(dropped) &&
      (await rename(dropped, home).then(
        () => true,
        () => false,
      ))
    )
      return false;
    await rm(dropped, { recursive: true, force: true });
    return true;
  }

  /** Takes the names of services that are gone from what they used. */
  async forgetGone(): Promise<void> {
    const { path } = this.#options;
    for (const name of namesIn(path).filter((one) => hexPattern.test(one))) {
      for (const user of namesIn(join(path, name, "users")))
        if (isLeftover(user)) await rm(join(path, name, "users", user), { force: true });
    }
  }

  open(): void {
    mkdirSync(this.#options.path, { recursive: true, mode: 0o700 });
    const trial = join(this.#options.path, `${this.#options.owner}-${this.#made++}`);
    writeFileSync(trial, "");
    rmSync(trial);
  }

  /** Others may take away what this service used. */
  async close(): Promise<void> {
    const { path, owner } = this.#options;
    await Promise.allSettled(this.#ready.values());
    for (const hex of this.#ready.keys()) await rm(join(path, hex, "users", owner), { force: true });
  }
}

function isUsed(home: string): boolean {
  return namesIn(join(home, "users")).some((user) => !isLeftover(user));
}

function timeOf(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

function ignoreExisting(error: unknown): void {
  if (error instanceof Error && "code" in error && (error.code === "EEXIST" || error.code === "ENOTEMPTY")) return;
  throw error;
}

function unpackError({ configDigest }: FolderImage, error: unknown): ToolRuntimeError {
  if (error instanceof ToolRuntimeError) return error;
  const details = { image: configDigest };
  if (error instanceof NoRoomError) {
    const why = `${error.message}; raise "maxImageBytes"`;
    return new ToolRuntimeError("ERR_ARTIFACT_TOO_LARGE", `Cannot unpack an image on backend "gvisor": ${why}`, {
      backend: "gvisor",
      details,
      cause: error,
    });
  }
  if (error instanceof Error && "code" in error && typeof error.code === "string" && /^E[A-Z]+$/.test(error.code))
    return imageError(
      `its layers cannot be unpacked (${error.code}); look at the image folder and at the room in the scratch folder`,
      configDigest,
      error,
    );
  return new ToolRuntimeError(
    "ERR_ARTIFACT_INVALID",
    `Cannot unpack an image on backend "gvisor": ${error instanceof Error ? error.message : "its layers are no archives"}`,
    { backend: "gvisor", details, cause: error },
  );
}
