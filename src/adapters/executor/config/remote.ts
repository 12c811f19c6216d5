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

const secret = { token: credentials.token, tokenFile: credentials.tokenFile, tokenEnv: credentials.tokenEnv };

function hasSecret(value: object): boolean {
  return ["token", "tokenFile", "tokenEnv"].filter((key) => key in value).length === 1;
}

const exactlyOne = "must have exactly one of token, tokenFile, tokenEnv";

const registrationSchema = z
  .strictObject({
    ...secret,
    hosts: z.array(z.string().min(1)).min(1).describe('Hosts that nodes may have: "node-1.example", or "*.nodes.example" for all below'),
    ttlMs: ms.min(1000).exactOptional().describe("A node that was not heard of for so long is gone; default 30 s"),
    opens: z.strictObject(credentials).refine(hasOne, onlyOne).exactOptional().describe("What opens the nodes that come"),
  })
  .refine(hasSecret, exactlyOne);

/** Of an executor node that says to an edge that it is there. */
export const announceSchema = z
  .strictObject({
    edge: z.url().describe("The service that takes nodes"),
    ...secret,
    url: z.url().exactOptional().describe("Where the edge reaches this node; default: where it listens"),
    caFile: file.exactOptional().describe("The roots of the edge's certificate, as PEM"),
    insecureHttp: z.boolean().exactOptional().describe("Allows the token over plain HTTP to another machine"),
  })
  .refine(hasSecret, exactlyOne);

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
    registration: registrationSchema.exactOptional().describe("Takes nodes that say by POST /v1/nodes that they are there"),
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
  .refine(({ nodes, dns }) => nodes === undefined || dns === undefined, "must have either nodes or dns, not both")
  .refine((remote) => ["nodes", "dns", "registration"].some((key) => key in remote), "must have nodes, dns or registration");

export type RemoteConfig = z.output<typeof remoteSchema>;
export type RegistrationConfig = z.output<typeof registrationSchema>;
export type AnnounceConfig = z.output<typeof announceSchema>;
type Secrets = Pick<NonNullable<RemoteConfig["dns"]>, (typeof oneOf)[number]>;
export type RemoteCredentials = Secrets;

/** Makes the paths absolute. */
export function resolveRemote(remote: RemoteConfig, at: (path: string) => string): RemoteConfig {
  const { nodes, dns, registration, tls } = remote;
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
    ...(registration === undefined ? {} : { registration: resolveRegistration(registration, secrets) }),
    ...(tls === undefined ? {} : { tls: Object.fromEntries(files) }),
  };
}

function resolveRegistration(registration: RegistrationConfig, secrets: <S extends Secrets>(one: S) => S): RegistrationConfig {
  const { opens } = registration;
  return { ...secrets(registration), ...(opens === undefined ? {} : { opens: secrets(opens) }) };
}

/** Makes the paths absolute. */
export function resolveAnnounce(announce: AnnounceConfig, at: (path: string) => string): AnnounceConfig {
  const { tokenFile, caFile } = announce;
  return {
    ...announce,
    ...(tokenFile === undefined ? {} : { tokenFile: at(tokenFile) }),
    ...(caFile === undefined ? {} : { caFile: at(caFile) }),
  };
}
