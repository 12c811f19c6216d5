import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline, Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { z } from "zod/mini";
import { ToolRuntimeError } from "../../errors.ts";
import { digestPattern } from "../../internal/digest.ts";
import { canonicalReference } from "../oci/reference.ts";

export interface LayerBlob {
  readonly digest: string;
  readonly mediaType: string;
}

export interface FolderImage {
  /** What a digest in a manifest may mean: the index, the manifest for this machine, the configuration. */
  readonly digests: readonly string[];
  /** Of the configuration, which names every layer: what is unpacked is known by it. */
  readonly configDigest: string;
  readonly layers: readonly LayerBlob[];
  readonly process: { readonly env: readonly string[]; readonly argv: readonly string[]; readonly user: string };
}

const maxJsonBytes = 4 * 2 ** 20;
const architectures: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: "amd64" };

const descriptor = z.object({
  mediaType: z.string(),
  digest: z.string().check(z.regex(digestPattern)),
  platform: z.optional(z.object({ architecture: z.string(), os: z.string() })),
  annotations: z.optional(z.record(z.string(), z.string())),
});
const index = z.object({ manifests: z.array(descriptor) });
const manifest = z.object({ config: descriptor, layers: z.array(descriptor) });
const strings = z.nullish(z.array(z.string()));
const configuration = z.object({
  config: z.optional(z.object({ Env: strings, Entrypoint: strings, Cmd: strings, User: z.nullish(z.string()) })),
});

type Descriptor = z.output<typeof descriptor>;

/** An OCI image layout (OCI image specification, image-layout.md): images as files, from no registry and no daemon. */
export class ImageFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws where it is no image layout that can be read. */
  async check(): Promise<void> {
    await this.#index();
  }

  async #index(): Promise<readonly Descriptor[]> {
    const path = join(this.#path, "index.json");
    try {
      if ((await stat(path)).size > maxJsonBytes) throw new Error("its index is too large");
      return index.parse(JSON.parse(await readFile(path, "utf8"))).manifests;
    } catch (cause) {
      throw new Error(`the image folder ${JSON.stringify(this.#path)} is no OCI image layout; name one as "imageFolder"`, { cause });
    }
  }

  /** @throws `ERR_BACKEND_FAILED` where there is no such image, or not all of it. */
  async find(written: string): Promise<FolderImage> {
    const name = canonicalReference(written);
    const found = (await this.#index()).find((one) => namesOf(one).includes(name) || name.endsWith(`@${one.digest}`));
    if (found === undefined) {
      throw imageError(
        `there is no image ${JSON.stringify(name)} in "${this.#path}"; copy it there: skopeo copy … oci:${this.#path}`,
        name,
      );
    }
    const read = async <T>(schema: { parse(value: unknown): T }, digest: string): Promise<T> => {
      try {
        return schema.parse(JSON.parse(await this.#readJson(digest)));
      } catch (cause) {
        throw imageError(`not all of the image ${JSON.stringify(name)} is in the image folder; copy it there again`, name, cause);
      }
    };
    const isIndex = /index|manifest\.list/.test(found.mediaType);
    const own = isIndex ? manifestFor(name, (await read(index, found.digest)).manifests) : found.digest;
    const { config, layers } = await read(manifest, own);
    const { config: settings } = await read(configuration, config.digest);
    return {
      digests: [...new Set([found.digest, own, config.digest])],
      configDigest: config.digest,
      layers: layers.map(({ digest, mediaType }) => ({ digest, mediaType })),
      process: {
        env: settings?.Env ?? [],
        argv: [...(settings?.Entrypoint ?? []), ...(settings?.Cmd ?? [])],
        user: settings?.User ?? "",
      },
    };
  }

  #blob(digest: string): string {
    return join(this.#path, "blobs/sha256", digest.slice("sha256:".length));
  }

  async #readJson(digest: string): Promise<string> {
    const path = this.#blob(digest);
    if ((await stat(path)).size > maxJsonBytes) throw new Error(`the blob ${digest} is too large`);
    const bytes = await readFile(path);
    if (digestOf(createHash("sha256").update(bytes)) !== digest) throw new Error(`the blob ${digest} is not what its name says`);
    return bytes.toString();
  }

  /** The archive in a blob. Its end throws where the blob was not what its digest says: until then nothing of it may be used. */
  async *openLayer({ digest, mediaType }: LayerBlob): AsyncGenerator<Uint8Array> {
    const hash = createHash("sha256");
    const blob = Readable.from(hashed(createReadStream(this.#blob(digest)), hash));
    // The error comes to whoever reads.
    const opened = mediaType.endsWith("gzip")
      ? pipeline(blob, createGunzip(), () => undefined)
      : mediaType.endsWith("zstd")
        ? pipeline(blob, createZstdDecompress(), () => undefined)
        : blob;
    for await (const part of opened) if (part instanceof Uint8Array) yield part;
    if (digestOf(hash) !== digest) throw new Error(`the blob ${digest} is not what its name says`);
  }
}

async function* hashed(source: Readable, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const part of source) {
    if (!(part instanceof Uint8Array)) continue;
    hash.update(part);
    yield part;
  }
}

function digestOf(hash: Hash): string {
  return `sha256:${hash.digest("hex")}`;
}

/** Those who write a layout put the full name in the one or the other, or a tag alone, which names no image. */
function namesOf({ annotations = {} }: Descriptor): string[] {
  const { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": reference } = annotations;
  const full = [...(name === undefined ? [] : [name]), ...(reference?.includes(":") === true ? [reference] : [])];
  return full.map(canonicalReference);
}

function manifestFor(name: string, manifests: readonly Descriptor[]): string {
  const own = architectures[process.arch] ?? process.arch;
  const found = manifests.find(({ platform }) => platform === undefined || (platform.os === "linux" && platform.architecture === own));
  if (found !== undefined) return found.digest;
  throw imageError(`the image ${JSON.stringify(name)} is not made for ${own}; build or copy it for this machine`, name);
}

export function imageError(why: string, image: string, cause?: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot run the tool on backend "gvisor": ${why}`, {
    backend: "gvisor",
    details: { image },
    cause,
  });
}
