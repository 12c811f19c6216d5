import { z } from "zod";
import { scopes } from "../../../edge/index.ts";
import { namePattern } from "../../trust/format.ts";

const file = z.string().min(1);
const name = z.string().regex(namePattern, "must be 1 to 200 characters, no control characters");

export const tlsSchema = z.strictObject({
  certFile: file.describe("The certificate and those between it and the root, as PEM"),
  keyFile: file.describe("Its private key, as PEM"),
  clientCaFile: file.exactOptional().describe("The roots of callers' certificates: with it each caller must have one"),
});

const issuerSchema = z.strictObject({
  name,
  tenants: z.array(name).min(1).exactOptional().describe("The tenants that it may speak for; any where none is named"),
  scopes: z.array(z.enum(scopes)).min(1).exactOptional().describe("The most that its tokens may be used for"),
});

export const keysSchema = z.strictObject({
  trusted: file.describe("A key set (RFC 7517) with the public keys of those who may sign"),
  issuers: z.array(issuerSchema).min(1),
  audience: z
    .union([name, z.array(name).min(1)])
    .exactOptional()
    .describe("What callers call this service: a name or url, or several; default: its name"),
  maxTokensPerIssuer: z.int().positive().exactOptional().describe("Tokens remembered at once for each issuer"),
});

export type TlsConfig = z.output<typeof tlsSchema>;
export type KeysConfig = z.output<typeof keysSchema>;

/** Makes the paths absolute. */
export function resolveTrust(
  { tls, keys }: { readonly tls?: TlsConfig; readonly keys?: KeysConfig },
  at: (path: string) => string,
): { readonly tls?: TlsConfig; readonly keys?: KeysConfig } {
  const clientCaFile = tls?.clientCaFile === undefined ? {} : { clientCaFile: at(tls.clientCaFile) };
  return {
    ...(tls === undefined ? {} : { tls: { certFile: at(tls.certFile), keyFile: at(tls.keyFile), ...clientCaFile } }),
    ...(keys === undefined ? {} : { keys: { ...keys, trusted: at(keys.trusted) } }),
  };
}
