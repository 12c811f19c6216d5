import { readFile } from "node:fs/promises";
import { requestSigner, type PrivateKey } from "../../adapters/trust/index.ts";
import type { Scope } from "../../edge/index.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { digestOf } from "../../internal/client/signing.ts";
import { UsageError } from "../exit-codes.ts";
import { shellWord } from "../shell-word.ts";

export interface CurlRequest {
  readonly key: PrivateKey;
  readonly url: string;
  readonly audience: string;
  readonly method: string;
  /** The body itself, or `@file`. */
  readonly data: string | undefined;
  readonly contentType: string;
  readonly subject: string;
  readonly tenant: string;
  readonly scopes: readonly Scope[];
}

/** A token for one request, and the request as a command. @throws UsageError, `ERR_ARGUMENT_INVALID`. */
export async function curlCommand(request: CurlRequest): Promise<{ readonly token: string; readonly command: string }> {
  const { key, url, audience, method, data, contentType, subject, tenant, scopes } = request;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new UsageError(`Cannot read ${JSON.stringify(url)} as an http or https address`);
  const { iss: issuer } = key;
  if (issuer === undefined) throw new UsageError("The key does not say whose it is; toolruntime keys create makes one that does");
  const { pathname, search } = new URL(url);
  const sign = requestSigner({ key, issuer, subject, tenant, scopes, audience });
  const token = await sign({
    method,
    target: pathname + search,
    bodyDigest: await digestOf(data === undefined ? undefined : await bytesOf(data)),
  });
  const words = ["curl", "-X", method, url, "-H", `authorization: Bearer ${token}`];
  if (data !== undefined) words.push("-H", `content-type: ${contentType}`, "--data-binary", data);
  return { token, command: words.map(shellWord).join(" ") };
}

async function bytesOf(data: string): Promise<Uint8Array> {
  if (!data.startsWith("@")) return new TextEncoder().encode(data);
  const file = data.slice(1);
  try {
    return new Uint8Array(await readFile(file));
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
    throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot read the file ${JSON.stringify(file)}: ${why}`);
  }
}
