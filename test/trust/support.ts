import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { calculateJwkThumbprint, CompactSign, exportJWK, generateKeyPair, type JWK } from "jose";
import { onTestFinished } from "vitest";
import type { ServiceConfigInput } from "../../src/adapters/executor/index.ts";
import { parsePrivateKey, publicPartOf, type KeySet, type PrivateKey } from "../../src/adapters/trust/index.ts";
import { openService, tokens, type Opened } from "../edge/support.ts";

export type Algorithm = "EdDSA" | "ES256";

/** A key of its own; `iss` says whose it is. */
export async function makeKey(alg: Algorithm, more: Readonly<Record<string, unknown>> = {}): Promise<PrivateKey> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(privateKey);
  return parsePrivateKey({ ...jwk, alg, kid: await calculateJwkThumbprint(jwk), ...more });
}

export function keySetOf(...keys: readonly PrivateKey[]): KeySet {
  return { keys: keys.map(publicPartOf) };
}

export function digestOf(body: string | Uint8Array): Promise<string> {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  return crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>).then((hash) => Buffer.from(hash).toString("base64url"));
}

export const audience = "node-1";

export interface Forging {
  readonly key: PrivateKey;
  readonly method?: string;
  readonly target?: string;
  readonly body?: string | Uint8Array;
  /** Replaces claims; one that is `undefined` is left out. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
}

/** What a good token says, with whatever a test would have otherwise. */
export async function claimsOf({ method = "POST", target = "/v1/executions", body = "", claims = {} }: Forging) {
  const iat = Math.floor(Date.now() / 1000);
  return {
    iss: "edge-1",
    sub: "alice",
    tenant: "red",
    scope: "run read",
    aud: audience,
    iat,
    exp: iat + 60,
    jti: crypto.randomUUID(),
    htm: method,
    htu: target,
    bd: await digestOf(body),
    ...claims,
  };
}

/** A token that is signed well, whatever it says. */
export async function forge(forging: Forging): Promise<string> {
  const { key, header = {} } = forging;
  const { kid, d: _, ...rest } = key;
  const alg = rest.kty === "OKP" ? "EdDSA" : "ES256";
  const jwk: JWK = { kty: key.kty, crv: key.crv, x: key.x, d: key.d, alg, ...(key.kty === "EC" ? { y: key.y } : {}) };
  const head = { alg, kid, typ: "toolruntime+jwt", ...header } as const;
  return new CompactSign(new TextEncoder().encode(JSON.stringify(await claimsOf(forging)))).setProtectedHeader(head).sign(jwk);
}

/** Signs two parts as they are, with an Ed25519 key. */
export async function signText({ kty, crv, x, d }: PrivateKey, text: string): Promise<string> {
  const key = await crypto.subtle.importKey("jwk", { kty, crv, x, d }, "Ed25519", false, ["sign"]);
  const signature = await crypto.subtle.sign("Ed25519", key, new TextEncoder().encode(text));
  return `${text}.${Buffer.from(signature).toString("base64url")}`;
}

/** Parts that nobody signs: text as base64url. */
export function part(content: string | object): string {
  return Buffer.from(typeof content === "string" ? content : JSON.stringify(content)).toString("base64url");
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-trust-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Trusting extends Opened {
  readonly keysFile: string;
  /** Why the last request that was refused was, by the log. */
  denied(): unknown;
  /** Posts to a path with this token. */
  send(
    token: string,
    request?: { readonly method?: string; readonly target?: string; readonly body?: string | Uint8Array; readonly type?: string },
  ): Promise<Response>;
}

export interface TrustingOptions {
  readonly keys: KeySet;
  readonly issuers?: NonNullable<ServiceConfigInput["keys"]>["issuers"];
  readonly config?: ServiceConfigInput;
}

/** A real service in profile standard that takes the tokens of these keys, and static ones. */
export async function openTrusting({ keys, issuers = [{ name: "edge-1" }], config = {} }: TrustingOptions): Promise<Trusting> {
  const keysFile = join(temporaryFolder(), "jwks.json");
  writeFileSync(keysFile, JSON.stringify(keys));
  const trusted = { trusted: keysFile, issuers, audience: [audience, "https://node-1.example"] };
  const opened = await openService({ security: "standard", tokens: [tokens.alice], keys: trusted, ...config });
  return {
    ...opened,
    keysFile,
    denied: () => opened.log.flatMap((line) => [(JSON.parse(line) as { denied?: unknown }).denied ?? []].flat()).at(-1),
    send: (token, { method = "POST", target = "/v1/executions", body = "", type = "application/json" } = {}) =>
      fetch(`${opened.url}${target}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": type },
        ...(method === "GET" ? {} : { body: body as BodyInit }),
      }),
  };
}
