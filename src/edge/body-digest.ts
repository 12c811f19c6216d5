import { encodeBase64Url } from "../internal/base64.ts";
import { joinBytes } from "../internal/client/bytes.ts";
import { unauthorized } from "./auth.ts";
import type { AppContext } from "./scope.ts";

/** Hashes bytes with SHA-256 as they come. */
export interface StreamHash {
  update(bytes: Uint8Array): void;
  digest(): Uint8Array | Promise<Uint8Array>;
}

/** With WebCrypto alone, which takes no streams: what came is kept to the end. */
export function collectingHash(): StreamHash {
  const chunks: Uint8Array[] = [];
  return {
    update: (bytes) => void chunks.push(bytes),
    digest: async () => new Uint8Array(await crypto.subtle.digest("SHA-256", joinBytes(chunks) as Uint8Array<ArrayBuffer>)),
  };
}

/** Holds what is read of a body against the one body that the caller's token is for. */
export interface BodyCheck {
  update(bytes: Uint8Array): void;
  /** To be called when the body has ended, before anything is done that it asks for. @throws `ERR_UNAUTHORIZED`. */
  end(): Promise<void>;
}

/** SHA-256 of no bytes (FIPS 180-4), in base64url. */
const emptyDigest = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
const methodsWithBody: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

function hasBody(c: AppContext): boolean {
  return (c.req.header("content-length") ?? "0") !== "0" || c.req.header("transfer-encoding") !== undefined;
}

/**
 * What is to be done while the body is read. Where the method has none, the token must be for none and none may be there.
 *
 * @throws `ERR_UNAUTHORIZED`.
 */
export function checkBody(c: AppContext, bodyDigest: string, createHash: () => StreamHash): BodyCheck {
  const differs = (): Error => {
    c.get("scope").facts["denied"] = "body";
    return unauthorized(c.req.header("authorization"));
  };
  if (!methodsWithBody.has(c.req.method) && (hasBody(c) || bodyDigest !== emptyDigest)) throw differs();
  const hash = createHash();
  return {
    update: (bytes) => hash.update(bytes),
    async end() {
      if (encodeBase64Url(await hash.digest()) !== bodyDigest) throw differs();
    },
  };
}
