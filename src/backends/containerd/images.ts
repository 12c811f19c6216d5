import { createHash } from "node:crypto";
import { z } from "zod/mini";
import { ToolRuntimeError } from "../../errors.ts";
import { canonicalReference } from "../oci/reference.ts";
import { containerdError, grpcCodeOf, grpcCodes, type Containerd } from "./client.ts";
import type { ImageProcess } from "../oci/runtime-spec.ts";

export interface Image {
  /** What a digest in a manifest may mean: the index, the manifest for this machine, the configuration. */
  readonly digests: readonly string[];
  /** Names the snapshot of all layers. */
  readonly chainId: string;
  readonly process: ImageProcess;
}

const maxBytes = 4 * 2 ** 20;
const architectures: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: "amd64" };

const descriptor = z.object({
  digest: z.string(),
  platform: z.optional(z.object({ architecture: z.string(), os: z.string() })),
});
const index = z.object({ manifests: z.array(descriptor) });
const manifest = z.object({ config: descriptor });
const strings = z.nullish(z.array(z.string()));
const configuration = z.object({
  config: z.optional(z.object({ Env: strings, Entrypoint: strings, Cmd: strings, User: z.nullish(z.string()) })),
  rootfs: z.object({ diff_ids: z.array(z.string()) }),
});

/** The identity of layers upon each other (OCI image specification, config.md, "Layer ChainID"). */
export function chainIdOf(diffIds: readonly string[]): string {
  const [first = "", ...rest] = diffIds;
  return rest.reduce((below, own) => `sha256:${createHash("sha256").update(`${below} ${own}`).digest("hex")}`, first);
}

/**
 * Finds an image in the daemon's namespace; nothing is pulled.
 *
 * @throws `ERR_BACKEND_FAILED` where the daemon has none of that name.
 */
export async function findImage(containerd: Containerd, written: string): Promise<Image> {
  const name = canonicalReference(written);
  const target = await targetOf(containerd, name);
  const read = async <T>(schema: { parse(value: unknown): T }, digest: string): Promise<T> => {
    const bytes = await containerd.readContent(digest, maxBytes).catch((error: unknown) => {
      throw grpcCodeOf(error) === grpcCodes.notFound ? incomplete(name, error) : containerdError("read an image", error);
    });
    try {
      return schema.parse(JSON.parse(new TextDecoder().decode(bytes)));
    } catch (cause) {
      throw incomplete(name, cause);
    }
  };
  const isIndex = /index|manifest\.list/.test(target.mediaType);
  const manifestDigest = isIndex ? manifestFor(name, await read(index, target.digest)) : target.digest;
  const { config } = await read(manifest, manifestDigest);
  const { config: own, rootfs } = await read(configuration, config.digest);
  return {
    digests: [...new Set([target.digest, manifestDigest, config.digest])],
    chainId: chainIdOf(rootfs.diff_ids),
    process: { env: own?.Env ?? [], argv: [...(own?.Entrypoint ?? []), ...(own?.Cmd ?? [])], user: own?.User ?? "" },
  };
}

async function targetOf(containerd: Containerd, name: string): Promise<{ readonly mediaType: string; readonly digest: string }> {
  const { image } = await containerd.call("getImage", { name }).catch((error: unknown) => {
    if (grpcCodeOf(error) !== grpcCodes.notFound) throw containerdError("look at an image", error);
    const { namespace } = containerd.place;
    throw imageError(
      `the daemon has no image ${JSON.stringify(name)} in its namespace "${namespace}"; pull or import it there: ctr -n ${namespace} images pull`,
      name,
      error,
    );
  });
  const { mediaType, digest } = image?.target ?? {};
  return { mediaType: mediaType ?? "", digest: digest ?? "" };
}

function manifestFor(name: string, { manifests }: z.output<typeof index>): string {
  const own = architectures[process.arch] ?? process.arch;
  const found = manifests.find(({ platform }) => platform === undefined || (platform.os === "linux" && platform.architecture === own));
  if (found !== undefined) return found.digest;
  throw imageError(`the image ${JSON.stringify(name)} is not made for ${own}; build or pull it for this machine`, name);
}

function incomplete(name: string, cause: unknown): ToolRuntimeError {
  return imageError(`the daemon has not all of the image ${JSON.stringify(name)}; pull or import it again`, name, cause);
}

export function imageError(why: string, image: string, cause?: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot run the tool on backend "containerd": ${why}`, {
    backend: "containerd",
    details: { image },
    cause,
  });
}
