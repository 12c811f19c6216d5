import { createHmac, createPublicKey } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { publicPartOf, requestSigner, signedTokens, type PrivateKey } from "../../src/adapters/trust/index.ts";
import { createClient } from "../../src/client.ts";
import { problemOf, tokens } from "../edge/support.ts";
import { audience, claimsOf, forge, keySetOf, makeKey, openTrusting, part, signText, type Forging } from "./support.ts";

const body = '{"tool":"echo","input":{"a":1}}';

let ed: PrivateKey;
let es: PrivateKey;
let other: PrivateKey;
beforeAll(async () => {
  [ed, es, other] = await Promise.all([makeKey("EdDSA"), makeKey("ES256"), makeKey("EdDSA")]);
});

describe("a signed request", () => {
  it.each(["EdDSA", "ES256"])("is taken with %s, beside static tokens, for the tenant that it names", async (alg) => {
    const service = await openTrusting({ keys: keySetOf(ed, es) });
    const key = alg === "EdDSA" ? ed : es;
    const response = await service.send(await forge({ key, body }), { body });
    expect(response.status).toBe(200);
    expect(JSON.parse(service.audit()[0] ?? "")).toMatchObject({ tenant: "red", principal: "alice" });
    expect(service.log.some((line) => line.includes('"issuer":"edge-1"'))).toBe(true);
    expect(service.log.join("")).not.toContain(key.kid);
    expect((await service.post(body, { authorization: `Bearer ${tokens.alice.token}` })).status).toBe(200);
  });

  it("has no more scopes than it names, nor than its issuer may give", async () => {
    const issuers = [{ name: "edge-1", scopes: ["read" as const], tenants: ["red"] }];
    const service = await openTrusting({ keys: keySetOf(ed), issuers });
    const get = { method: "GET", target: "/v1/tools" };
    expect((await service.send(await forge({ key: ed, ...get, claims: { scope: "run read metrics" } }), get)).status).toBe(200);
    expect((await service.send(await forge({ key: ed, body }), { body })).status).toBe(403);
    expect((await service.send(await forge({ key: ed, ...get, claims: { scope: "run" } }), get)).status).toBe(403);
    expect((await service.send(await forge({ key: ed, ...get, claims: { tenant: "blue" } }), get)).status).toBe(401);
    expect(service.denied()).toBe("tenant");
  });

  it("is good for a service under each of its names", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    expect((await service.send(await forge({ key: ed, body, claims: { aud: "https://node-1.example" } }), { body })).status).toBe(200);
  });

  it("is taken with a clock that is 29 s off, and not with one that is ten minutes off (G4)", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const at = (offMs: number) => requestSigner({ key: ed, issuer: "edge-1", subject: "alice", audience, now: () => Date.now() + offMs });
    const client = (offMs: number) => createClient({ url: service.url, signer: at(offMs), retries: 0 });
    const minutes = 600_000;
    for (const offMs of [-85_000, 0, 29_000]) expect((await client(offMs).run({ tool: "echo", input: {} })).exitCode).toBe(0);
    for (const offMs of [-minutes, minutes, -95_000, 35_000]) {
      await expect(client(offMs).run({ tool: "echo", input: {} })).rejects.toMatchObject({ code: "ERR_UNAUTHORIZED", started: false });
    }
  });
});

/** Each a token that is refused, and the word in the log. */
const forgeries: Readonly<
  Record<string, { readonly reason: string } & Partial<Omit<Forging, "key">> & { readonly key?: () => PrivateKey }>
> = {
  "signed by nobody that is known": { reason: "signature", key: () => ({ ...other, kid: ed.kid }) },
  "an unknown key id": { reason: "kid", header: { kid: "other" } },
  "a key id that is a path": { reason: "header kid", header: { kid: "../../../../dev/null" } },
  "a key id that is a prototype's": { reason: "kid", header: { kid: "constructor" } },
  "a key id that is no text": { reason: "header kid", header: { kid: ["a"] } },
  "no key id": { reason: "header kid", header: { kid: undefined } },
  "another kind of token": { reason: "header typ", header: { typ: "JWT" } },
  "no kind": { reason: "header typ", header: { typ: undefined } },
  "a key that it brings along": { reason: "header", header: { jwk: { kty: "OKP", crv: "Ed25519", x: "A".repeat(43) } } },
  "an address of keys": { reason: "header", header: { jku: "https://evil.example/jwks.json" } },
  "another audience": { reason: "audience", claims: { aud: "node-2" } },
  "a list of audiences": { reason: "claim aud", claims: { aud: [audience] } },
  "an audience with a slash more": { reason: "audience", claims: { aud: "https://node-1.example/" } },
  "another issuer": { reason: "issuer", claims: { iss: "edge-2" } },
  "an issuer in other letters": { reason: "issuer", claims: { iss: "edge-1\u0301" } },
  expired: { reason: "expired", claims: { iat: 1_000_000_000, exp: 1_000_000_060 } },
  "a long life": { reason: "lifetime", claims: { exp: Math.floor(Date.now() / 1000) + 86_400 } },
  "a life of no length": { reason: "lifetime", claims: { exp: 1 } },
  "not yet valid": {
    reason: "not yet valid",
    claims: { iat: Math.floor(Date.now() / 1000) + 90, exp: Math.floor(Date.now() / 1000) + 120 },
  },
  "not before a while": { reason: "not yet valid", claims: { nbf: Math.floor(Date.now() / 1000) + 3600 } },
  "a time that is text": { reason: "claim exp", claims: { exp: "9999999999" } },
  "a time beyond numbers": { reason: "claim exp", claims: { exp: 1e300 } },
  "a fraction of a second": { reason: "claim exp", claims: { exp: Date.now() / 1000 + 0.5 } },
  "a tenant with a line end": { reason: "claim tenant", claims: { tenant: "red\nblue" } },
  "a principal that is too long": { reason: "claim sub", claims: { sub: "a".repeat(201) } },
  "scopes in two columns": { reason: "claim scope", claims: { scope: "run  read" } },
  "a scope of another case": { reason: "claim scope", claims: { scope: "RUN" } },
  "another method": { reason: "method", claims: { htm: "GET" } },
  "a method in small letters": { reason: "method", claims: { htm: "post" } },
  "another path": { reason: "path", claims: { htu: "/v1/blobs" } },
  "a path with a query": { reason: "path", claims: { htu: "/v1/executions?a=1" } },
  "a path in escapes": { reason: "path", claims: { htu: "/v1/%65xecutions" } },
  "a whole url": { reason: "path", claims: { htu: "http://localhost/v1/executions" } },
  "another body": { reason: "body", claims: { bd: "A".repeat(43) } },
  "a digest that is none": { reason: "claim bd", claims: { bd: "" } },
  "a certificate that is not there": { reason: "certificate", claims: { cnf: { "x5t#S256": "A".repeat(43) } } },
  "a binding that is not known": { reason: "claim cnf", claims: { cnf: { jkt: "A".repeat(43) } } },
  "an id that is too short": { reason: "claim jti", claims: { jti: "a" } },
  "a prototype": { reason: "json", claims: { constructor: { prototype: {} } } },
  ...Object.fromEntries(
    ["iss", "sub", "tenant", "scope", "aud", "iat", "exp", "jti", "htm", "htu", "bd"].map((claim) => [
      `no ${claim}`,
      { reason: `claim ${claim}`, claims: { [claim]: undefined } },
    ]),
  ),
};

describe("F1 a forged request is 401, whatever is wrong with it, and the caller is not told what", () => {
  it.each(Object.keys(forgeries))("%s", async (name) => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const { reason, key, ...forging } = forgeries[name] ?? { reason: "" };
    const response = await service.send(await forge({ key: key?.() ?? ed, body, ...forging }), { body });
    const refused = await problemOf(response);
    expect(refused).toMatchObject({ status: 401, code: "ERR_UNAUTHORIZED", started: false, details: {} });
    const unknown = await problemOf(await service.send("none-of-that-kind-0123456789", { body }));
    expect(refused.detail).toBe(unknown.detail);
    expect(service.denied()).toBe(reason);
    expect(service.audit()).toEqual([]);
  });

  const head = { kid: "", typ: "toolruntime+jwt" };

  it.each<[string, (claims: string) => string | Promise<string>]>([
    ["alg none", (claims) => `${part({ ...head, alg: "none", kid: ed.kid })}.${claims}.`],
    ["alg None with a signature", (claims) => `${part({ ...head, alg: "None", kid: ed.kid })}.${claims}.${part("x".repeat(64))}`],
    ...["bytes", "jwk", "pem"].map((what): [string, (claims: string) => string] => [
      `HS256 signed with the public key (${what})`,
      (claims) => {
        const { kty, crv, x } = ed;
        const pem = createPublicKey({ key: { kty, crv, x }, format: "jwk" }).export({ type: "spki", format: "pem" });
        const secret = what === "bytes" ? Buffer.from(x, "base64url") : what === "jwk" ? JSON.stringify(publicPartOf(ed)) : pem;
        const signed = `${part({ ...head, alg: "HS256", kid: ed.kid })}.${claims}`;
        return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
      },
    ]),
    ["ES256 with the name of an Ed25519 key", async () => forge({ key: { ...es, kid: ed.kid }, body })],
    ["a crit header", (claims) => signText(ed, `${part({ ...head, alg: "EdDSA", kid: ed.kid, crit: ["exp"], exp: 1 })}.${claims}`)],
    ["a crit header of nothing", (claims) => signText(ed, `${part({ ...head, alg: "EdDSA", kid: ed.kid, crit: [] })}.${claims}`)],
    ["b64 false", (claims) => signText(ed, `${part({ ...head, alg: "EdDSA", kid: ed.kid, crit: ["b64"], b64: false })}.${claims}`)],
    ["a header of two algorithms", (claims) => signText(ed, `${part({ ...head, alg: ["EdDSA"], kid: ed.kid })}.${claims}`)],
    ["the algorithm's other name", (claims) => signText(ed, `${part({ ...head, alg: "Ed25519", kid: ed.kid })}.${claims}`)],
    ["five parts, as if encrypted", (claims) => `${part({ ...head, alg: "dir", enc: "A128GCM" })}.${claims}.a.b.c`],
    ["two parts", (claims) => `${part({ ...head, alg: "EdDSA", kid: ed.kid })}.${claims}`],
    ["a comma and a good token behind it", async () => `x, Bearer ${await forge({ key: ed, body })}`],
  ])("%s", async (_, make) => {
    const service = await openTrusting({ keys: keySetOf(ed, es) });
    const response = await service.send(await make(part(await claimsOf({ key: ed, body }))), { body });
    expect(await problemOf(response)).toMatchObject({ status: 401, code: "ERR_UNAUTHORIZED" });
    expect(service.audit()).toEqual([]);
  });

  /** Other spellings of a token that is good. */
  const spellings: Readonly<Record<string, (token: string) => string>> = {
    padded: (token) => `${token}=`,
    "the other alphabet": (token) => token.replaceAll("-", "+").replaceAll("_", "/"),
    "bits left over in the signature": (token) => token.slice(0, -1) + nextLetter(token.at(-1) ?? ""),
    "a line end inside": (token) => token.replace(".", "%0a."),
    "a signature of nothing": (token) => token.slice(0, token.lastIndexOf(".") + 1),
    "a signature of zeros": (token) => `${token.slice(0, token.lastIndexOf(".") + 1)}${"A".repeat(86)}`,
    "a byte more": (token) => `${token}AAAA`,
  };

  it.each(Object.keys(spellings))("a good token otherwise spelled: %s", async (name) => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const good = await tokenWith(/[-_]/);
    const spelled = spellings[name]?.(good) ?? "";
    expect(spelled).not.toBe(good);
    expect((await service.send(spelled, { body })).status).toBe(401);
    // It was not used up.
    expect((await service.send(good, { body })).status).toBe(200);
  });

  async function tokenWith(pattern: RegExp): Promise<string> {
    for (;;) {
      const token = await forge({ key: ed, body });
      if (pattern.test(token)) return token;
    }
  }

  function nextLetter(letter: string): string {
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    return letters[letters.indexOf(letter) + 1] ?? "";
  }

  it.each(["header", "claims"])("members that stand twice in the %s", async (where) => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const header = `{"alg":"EdDSA","kid":${JSON.stringify(ed.kid)},"typ":"toolruntime+jwt"`;
    const claims = JSON.stringify(await claimsOf({ key: ed, body })).slice(0, -1);
    const signed =
      where === "header"
        ? `${part(`${header},"alg":"EdDSA"}`)}.${part(`${claims}}`)}`
        : `${part(`${header}}`)}.${part(`${claims},"tenant":"blue"}`)}`;
    expect((await service.send(await signText(ed, signed), { body })).status).toBe(401);
    expect(service.denied()).toBe("json");
  });

  it("a token that is too long is refused before it is read, one that fits no head with the head", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const long = await forge({ key: ed, body, claims: { more: "a".repeat(5000) } });
    expect((await service.send(long, { body })).status).toBe(401);
    expect(service.denied()).toBe("size");
    const huge = await forge({ key: ed, body, claims: { more: "a".repeat(40_000) } });
    expect((await service.send(huge, { body })).status).toBe(431);
  });

  it.each(["EdDSA", "ES256"])("a token of %s with any one character changed, left out or put in", async (alg) => {
    const key = alg === "EdDSA" ? ed : es;
    const authenticate = signedTokens({ keys: keySetOf(ed, es), issuers: [{ name: "edge-1" }], audience });
    const ask = (token: string) =>
      authenticate({
        method: "POST",
        target: "/v1/executions",
        certificate: undefined,
        header: () => `Bearer ${token}`,
        note: () => undefined,
      });
    const token = await forge({ key, body });
    const taken: string[] = [];
    for (let at = 0; at < token.length; at++) {
      const other = token[at] === "A" ? "B" : "A";
      for (const put of [other, "", `${token[at]}A`, "\u00e9", "=", "."]) {
        const changed = token.slice(0, at) + put + token.slice(at + 1);
        if (changed !== token && (await ask(changed)) !== undefined) taken.push(changed);
      }
    }
    expect(taken).toEqual([]);
    expect(await ask(token)).toMatchObject({ principal: "alice", tenant: "red" });
  });

  it("bytes of the token that are no text, or no JSON, or too deep", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const good = { ...head, alg: "EdDSA", kid: ed.kid };
    const signature = part("x".repeat(64));
    const broken = [
      Buffer.from([0xff, 0xfe]).toString("base64url"),
      part("nonsense"),
      part("[".repeat(2000)),
      part("\ufeff{}"),
      part("null"),
      part("[]"),
    ];
    for (const text of broken) {
      expect((await service.send(`${part(good)}.${text}.${signature}`, { body })).status).toBe(401);
      expect((await service.send(`${text}.${part({})}.${signature}`, { body })).status).toBe(401);
    }
    expect((await service.get("/readyz")).status).toBe(200);
  });
});
