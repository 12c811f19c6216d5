import { constants } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions, TLSSocket } from "node:tls";
import { configError, reasonOf } from "./config/errors.ts";
import type { TlsConfig } from "./config/trust.ts";

/** What a server's connections are secured with, and whether callers need a certificate. */
export interface TlsMaterial extends SecureContextOptions {
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
}

/** Reads the files and tries what is in them. @throws `ERR_CONFIG_INVALID`. */
export async function readTls({ certFile, keyFile, clientCaFile }: TlsConfig): Promise<TlsMaterial> {
  const [cert, key, ca] = await Promise.all([
    read("tls.certFile", certFile),
    read("tls.keyFile", keyFile),
    clientCaFile === undefined ? undefined : read("tls.clientCaFile", clientCaFile),
  ]);
  const needsCertificate = ca !== undefined;
  const material: TlsMaterial = {
    cert,
    key,
    minVersion: "TLSv1.3",
    requestCert: needsCertificate,
    rejectUnauthorized: needsCertificate,
    // A resumed session would be let in by a certificate that was looked at in an earlier one, under other roots perhaps.
    ...(needsCertificate ? { ca, secureOptions: constants.SSL_OP_NO_TICKET } : {}),
  };
  try {
    createSecureContext(material);
  } catch (error) {
    // What OpenSSL says of it names no part of a key.
    throw configError("tls", `the certificate and the key cannot be used: ${reasonOf(error)}`, error);
  }
  return material;
}

async function read(source: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw configError(source, `the file ${JSON.stringify(file)} cannot be read: ${reasonOf(error)}`, error);
  }
}

/** Tells the certificate of the caller out of what the server hands to the app: its SHA-256 in base64url (RFC 8705 §3.1). */
export function callerCertificates(): (env: unknown) => string | undefined {
  const known = new WeakMap<TLSSocket, string | undefined>();
  return (env) => {
    const socket = socketOf(env);
    if (socket === undefined) return undefined;
    if (!known.has(socket)) known.set(socket, digestOf(socket));
    return known.get(socket);
  };
}

/** One that no root vouches for is none. */
function digestOf(socket: TLSSocket): string | undefined {
  const hex = socket.authorized ? socket.getPeerX509Certificate()?.fingerprint256 : undefined;
  return hex === undefined ? undefined : Buffer.from(hex.replaceAll(":", ""), "hex").toString("base64url");
}

function socketOf(env: unknown): TLSSocket | undefined {
  if (typeof env !== "object" || env === null || !("incoming" in env)) return undefined;
  const { incoming } = env;
  if (typeof incoming !== "object" || incoming === null || !("socket" in incoming)) return undefined;
  return incoming.socket instanceof TLSSocket ? incoming.socket : undefined;
}
