import { createHmac } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { findBinary } from "../../bench/engines.ts";
import { publicPartOf, requestSigner, type PrivateKey } from "../../src/adapters/trust/index.ts";
import { createClient } from "../../src/client.ts";
import { problemOf } from "../edge/support.ts";
import { audience, claimsOf, forge, keySetOf, makeKey, part } from "../trust/support.ts";
import { EdgeService, limits } from "./service.ts";

/** F1 and F2 of the corpus on the worker itself, through HTTP, in workerd: who may sign, beside callers with static tokens. */
const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

const body = '{"tool":"echo","input":{"a":1}}';

describe.skipIf(isMissing)("the worker, for callers who sign", () => {
  let service: EdgeService;
  let ed: PrivateKey;
  let es: PrivateKey;
  beforeAll(async () => {
    [ed, es] = await Promise.all([makeKey("EdDSA"), makeKey("ES256")]);
    const keys = { ...keySetOf(ed, es), issuers: [{ name: "edge-1" }], audience };
    service = await EdgeService.open({ mode: "static", security: "standard", secrets: { TOOLRUNTIME_KEYS: JSON.stringify(keys) } });
  });
  afterAll(() => service?.[Symbol.asyncDispose]());
  afterEach(() => service.holds());

  const send = (token: string, sent = body, path = "/v1/executions", type = "application/json") =>
    fetch(`${service.url}${path}`, { method: "POST", headers: { authorization: `Bearer ${token}`, "content-type": type }, body: sent });

  it.each(["EdDSA", "ES256"])("takes what is signed with %s: JSON, forms, streams, answers and files", async (alg) => {
    const signer = requestSigner({ key: alg === "EdDSA" ? ed : es, issuer: "edge-1", subject: "alice", tenant: "red", audience });
    const client = createClient({ url: service.url, signer, retries: 0 });
    expect((await client.run({ tool: "echo", input: { a: 1 } })).output).toEqual({ a: 1 });
    const blob = new Uint8Array(limits.maxUploadBytes - 1000).fill(97);
    const { digest } = await client.blobs.put(new Blob([blob]).stream());
    expect(await client.blobs.get(digest)).toEqual(blob);
    const form = '--x\r\nContent-Disposition: form-data; name="task"\r\n\r\n{"tool":"echo","input":{}}\r\n--x--\r\n';
    const type = "multipart/form-data; boundary=x";
    expect((await send(await forge({ key: ed, body: form }), form, "/v1/executions", type)).status).toBe(200);
    expect((await send(await forge({ key: ed, body: form }), form.replace("{}", "[]"), "/v1/executions", type)).status).toBe(401);
  });

  it.each<[string, () => Promise<string> | string]>([
    ["alg none", async () => `${part({ alg: "none", kid: ed.kid, typ: "toolruntime+jwt" })}.${part(await claimsOf({ key: ed, body }))}.`],
    [
      "HS256 signed with the public key",
      async () => {
        const signed = `${part({ alg: "HS256", kid: ed.kid, typ: "toolruntime+jwt" })}.${part(await claimsOf({ key: ed, body }))}`;
        return `${signed}.${createHmac("sha256", JSON.stringify(publicPartOf(ed)))
          .update(signed)
          .digest("base64url")}`;
      },
    ],
    ["a stranger's key under a known name", async () => forge({ key: { ...(await makeKey("EdDSA")), kid: ed.kid }, body })],
    ["an unknown key id", () => forge({ key: ed, body, header: { kid: "other" } })],
    ["another audience", () => forge({ key: ed, body, claims: { aud: "node-2" } })],
    ["another issuer", () => forge({ key: ed, body, claims: { iss: "edge-2" } })],
    ["expired", () => forge({ key: ed, body, claims: { iat: 1_000_000_000, exp: 1_000_000_060 } })],
    [
      "not yet valid",
      () => forge({ key: ed, body, claims: { iat: Math.floor(Date.now() / 1000) + 90, exp: Math.floor(Date.now() / 1000) + 99 } }),
    ],
    ["a long life", () => forge({ key: ed, body, claims: { exp: Math.floor(Date.now() / 1000) + 3600 } })],
    ["another path", () => forge({ key: ed, body, target: "/v1/executions?a" })],
    ["another method", () => forge({ key: ed, body, method: "PUT" })],
    ["a changed body", () => forge({ key: ed, body: `${body} ` })],
    ["bound to a certificate", () => forge({ key: ed, body, claims: { cnf: { "x5t#S256": "A".repeat(43) } } })],
  ])("F1 %s is 401", async (_, make) => {
    const before = service.acceptedCount();
    expect(await problemOf(await send(await make()))).toMatchObject({ status: 401, code: "ERR_UNAUTHORIZED", started: false });
    expect(service.acceptedCount()).toBe(before);
  });

  it("F2 what is sent again is 409, and of many at once one is taken", async () => {
    const token = await forge({ key: ed, body });
    const statuses = await Promise.all(Array.from({ length: 10 }, async () => (await send(token)).status));
    expect(statuses.toSorted()).toEqual([200, ...Array.from({ length: 9 }, () => 409)]);
    expect(await problemOf(await send(token))).toMatchObject({ code: "ERR_TOKEN_REPLAYED" });
  });
});
