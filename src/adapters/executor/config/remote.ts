import { z } from "zod";
import { bytes, ms } from "./quantities.ts";

const file = z.string().min(1);
const oneOf = ["token", "tokenFile", "tokenEnv", "signing"] as const;

const signingSchema = z.strictObject({
  keyFile: file.describe("The private key that signs each request, as a JWK"),
  subject: z.string().min(1).max(200).describe("For whom: the principal that the node writes down"),
  tenant: z.string().min(1).max(200).exactOptional(),
  audience: z.string().min(1).max(200).exactOptional().describe("What the node calls itself; its name where none is given"),
});

const credentials = {
  token: z.string().min(16).exactOptional().describe("The token itself; better one of the others"),
  tokenFile: file.exactOptional().describe("A file that holds the token and nothing else"),
  tokenEnv: z.string().min(1).exactOptional().describe("The environment variable that holds it"),
  signing: signingSchema.exactOptional(),
};

function hasOne(value: object): boolean {
  return oneOf.filter((key) => key in value).length <= 1;
}

const onlyOne = `must have at most one of ${oneOf.join(", ")}`;

export const remoteSchema = z
  .strictObject({
    nodes: z
      .array(z.strictObject({ url: z.url(), name: z.string().min(1).max(63).exactOptional(), ...credentials }).refine(hasOne, onlyOne))
      .min(1)
      .exactOptional(),
    dns: z
      .strictObject({
        name: z.string().min(1).describe("A name with SRV records, which begins with _, or with addresses"),
        port: z.int().min(1).max(65_535).exactOptional().describe("Of nodes that are found by address"),
        scheme: z.enum(["https", "http"]).exactOptional(),
        ...credentials,
      })
      .refine(hasOne, onlyOne)
      .exactOptional(),
    tls: z
      .strictObject({
        caFile: file.exactOptional().describe("The roots of the nodes' certificates, as PEM"),
        certFile: file.exactOptional().describe("This side's certificate, as PEM"),
        keyFile: file.exactOptional().describe("Its private key, as PEM"),
      })
      .exactOptional(),
    connections: z.int().positive().exactOptional().describe("At once to each node"),
    insecureHttp: z.boolean().exactOptional().describe("Allows a token over plain HTTP to another machine"),
    catalogMs: ms.exactOptional(),
    silenceMs: ms.exactOptional(),
    leaseMs: ms.min(1000).max(60_000).exactOptional(),
    outMs: ms.exactOptional(),
    failures: z.int().positive().exactOptional(),
    retryRatio: z.number().min(0).max(1).exactOptional(),
    hedgeAfterMs: ms.exactOptional(),
    windowBytes: bytes.exactOptional(),
    maxOutputBytes: bytes.exactOptional(),
    arch: z.array(z.string().min(1)).min(1).exactOptional().describe('Processors that are taken, as Node.js names them: "x64", "arm64"'),
  })
  .refine(({ nodes, dns }) => (nodes === undefined) !== (dns === undefined), "must have either nodes or dns");

export type RemoteConfig = z.output<typeof remoteSchema>;
type Secrets = Pick<NonNullable<RemoteConfig["dns"]>, (typeof oneOf)[number]>;
export type RemoteCredentials = Secrets;

/** Makes the paths absolute. */
export function resolveRemote(remote: RemoteConfig, at: (path: string) => string): RemoteConfig {
  const { nodes, dns, tls } = remote;
  const secrets = <S extends Secrets>(one: S): S => ({
    ...one,
    ...(one.tokenFile === undefined ? {} : { tokenFile: at(one.tokenFile) }),
    ...(one.signing === undefined ? {} : { signing: { ...one.signing, keyFile: at(one.signing.keyFile) } }),
  });
  const files = Object.entries(tls ?? {}).map(([key, path]) => [key, at(path)] as const);
  return {
    ...remote,
    ...(nodes === undefined ? {} : { nodes: nodes.map(secrets) }),
    ...(dns === undefined ? {} : { dns: secrets(dns) }),
    ...(tls === undefined ? {} : { tls: Object.fromEntries(files) }),
  };
}
