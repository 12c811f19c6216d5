import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { remote } from "../../src/adapters/remote/index.ts";
import { requestSigner, type PrivateKey, type RequestSignerOptions } from "../../src/adapters/trust/index.ts";
import { createClient, type ClientOptions, type Fetch } from "../../src/client.ts";
import { readConfig } from "../../src/edge/cloudflare/config.ts";
import { lazySigner } from "../../src/edge/worker-trust.ts";
import { createRuntime } from "../../src/index.ts";
import { echoTool } from "../edge/support.ts";
import { audience, keySetOf, makeKey, openTrusting } from "./support.ts";

let key: PrivateKey;
beforeAll(async () => {
  key = await makeKey("ES256");
});

function signerOf(options: Partial<RequestSignerOptions> = {}) {
  return requestSigner({ key, issuer: "edge-1", subject: "alice", tenant: "red", audience, ...options });
}

async function openSigned(options: Partial<ClientOptions> = {}) {
  const service = await openTrusting({ keys: keySetOf(key) });
  return { service, client: createClient({ url: service.url, signer: signerOf(), retries: 0, ...options }) };
}

/** What was sent, as far as trust has to do with it. */
interface Sent {
  readonly authorization: string | null;
  readonly idempotencyKey: string | null;
}

function recording(sent: Sent[], around: (send: () => Promise<Response>) => Promise<Response> = (send) => send()): Fetch {
  return (url, init) => {
    const headers = new Headers(init.headers);
    sent.push({ authorization: headers.get("authorization"), idempotencyKey: headers.get("idempotency-key") });
    return around(() => fetch(url, init));
  };
}

describe("a client that signs", () => {
  it("signs whatever it sends: JSON, forms, bytes, streams, queries, nothing", async () => {
    const { service, client } = await openSigned();
    expect((await client.run({ tool: "echo", input: { text: "ünïcode" } })).output).toEqual({ text: "ünïcode" });
    expect((await client.run({ tool: "echo", files: { "a.txt": "small" }, input: {} })).exitCode).toBe(0);
    const big = new Uint8Array(2_000_000).fill(98);
    expect((await client.run({ tool: "echo", files: { "a.bin": big }, input: {} })).exitCode).toBe(0);
    const { digest } = await client.blobs.put(new Blob([big]).stream());
    expect(await client.blobs.get(digest)).toEqual(big);
    expect((await client.tools.get(`echo@${(await echoTool()).digest}`)).name).toBe("echo");
    const execution = await client.start({ tool: "echo", input: {} });
    expect((await execution.wait()).exitCode).toBe(0);
    const types: string[] = [];
    for await (const { type } of execution.events({ after: -1 })) types.push(type);
    expect([types[0], types.at(-1)]).toEqual(["accepted", "result"]);
    expect(service.denied()).toBeUndefined();
  });

  it("signs each attempt anew, under the same idempotency key; the tool runs once", async () => {
    const sent: Sent[] = [];
    // A proxy has passed on the first request and says that it has not.
    const lossy = async (send: () => Promise<Response>): Promise<Response> => {
      const response = await send();
      if (sent.length > 1) return response;
      await response.text();
      return new Response(null, { status: 429 });
    };
    const { service, client } = await openSigned({ fetch: recording(sent, lossy), retries: 2 });
    expect((await client.run({ tool: "echo", input: {} })).exitCode).toBe(0);
    expect(sent).toHaveLength(2);
    expect(new Set(sent.map(({ authorization }) => authorization)).size).toBe(2);
    expect(new Set(sent.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
    expect(service.audit().filter((line) => line.includes('"event":"started"'))).toHaveLength(1);
  });

  it("is told when what it sent was sent twice on the way, and that it may have run", async () => {
    const { client } = await openSigned({
      fetch: async (url, init) => {
        await fetch(url, init).then((response) => response.text());
        return fetch(url, init);
      },
      retries: 2,
    });
    await expect(client.run({ tool: "echo", input: {} })).rejects.toMatchObject({ code: "ERR_TOKEN_REPLAYED", started: true });
  });

  it("signs no stream that it cannot hold, and sends nothing of it", async () => {
    const { service, client } = await openSigned();
    const piece = new Uint8Array(2 ** 20);
    let pieces = 0;
    const endless = new ReadableStream<Uint8Array>({ pull: (controller) => (pieces++, controller.enqueue(piece)) });
    await expect(client.blobs.put(endless)).rejects.toMatchObject({ code: "ERR_INPUT_TOO_LARGE" });
    expect(pieces).toBeLessThan(70);
    expect(service.log.some((line) => line.includes("/v1/blobs"))).toBe(false);
  });

  it("says so where the signer fails, and sends no token in the clear to another machine", async () => {
    const signer = () => Promise.reject(new Error("the key is in the safe"));
    const { client } = await openSigned({ signer });
    await expect(client.tools.list()).rejects.toMatchObject({ code: "ERR_UNAUTHORIZED" });
    expect(() => createClient({ url: "http://node-1.example", signer: signerOf() })).toThrow(
      expect.objectContaining({ code: "ERR_ARGUMENT_INVALID" }) as Error,
    );
  });
});

describe("the backend remote", () => {
  it("signs its runs, with files, and ends them; a node that trusts another key is out", async () => {
    const service = await openTrusting({ keys: keySetOf(key) });
    const tool = await echoTool();
    const open = (signer: ReturnType<typeof signerOf>) => {
      const backend = remote({ nodes: [{ url: service.url, signer }] });
      const runtime = createRuntime({ backend, security: "standard" });
      onTestFinished(async () => {
        await runtime.close();
        await backend.close();
      });
      return runtime;
    };
    const runtime = open(signerOf());
    const result = await runtime.execute({ tool, input: { a: 1 }, files: { "a.bin": new Uint8Array(2_000_000) } });
    expect([result.output, result.backend.via]).toEqual([{ a: 1 }, new URL(service.url).host]);
    expect(service.denied()).toBeUndefined();
    const stranger = open(signerOf({ key: await makeKey("ES256") }));
    await expect(stranger.execute({ tool, input: {} })).rejects.toMatchObject({ started: false });
    expect(service.denied()).toBe("kid");
  });
});

describe("a worker's secrets", () => {
  const node = { url: "http://127.0.0.1:1", audience };
  const signing = () => ({ key: { ...key, iss: "edge-1" }, subject: "worker", tenant: "red" });

  it("sign what goes to its nodes", async () => {
    const service = await openTrusting({ keys: keySetOf(key) });
    const env = { TOOLRUNTIME_SECURITY: "dev", TOOLRUNTIME_NODES: JSON.stringify([node]), TOOLRUNTIME_SIGNING: JSON.stringify(signing()) };
    const config = readConfig(env);
    expect(config.nodes).toEqual([node]);
    if (config.signing === undefined) throw new Error("there is no signing");
    const client = createClient({ url: service.url, retries: 0, signer: lazySigner(config.signing, audience) });
    expect((await client.run({ tool: "echo", input: {} })).exitCode).toBe(0);
    expect(service.audit()[0]).toContain('"principal":"worker"');
  });

  it.each<[string, Readonly<Record<string, unknown>>]>([
    ["TOOLRUNTIME_KEYS", { keys: [], issuers: [{ name: "a" }], audience }],
    ["TOOLRUNTIME_KEYS", { keys: [{}], issuers: [], audience }],
    ["TOOLRUNTIME_KEYS", { keys: [{}], issuers: [{ nam: "a" }], audience }],
    ["TOOLRUNTIME_KEYS", { keys: [{}], issuers: [{ name: "a", scopes: ["all"] }], audience }],
    ["TOOLRUNTIME_KEYS", { keys: [{}], issuers: [{ name: "a" }] }],
    ["TOOLRUNTIME_SIGNING", { key: {} }],
    ["TOOLRUNTIME_SIGNING", { key: {}, subject: "a", kye: 1 }],
  ])("%s that cannot be read is named, and not quoted: %j", (variable, value) => {
    const read = () => readConfig({ TOOLRUNTIME_SECURITY: "dev", [variable]: JSON.stringify(value) });
    expect(read).toThrow(
      expect.objectContaining({ code: "ERR_CONFIG_INVALID", details: expect.objectContaining({ variable }) as object }) as Error,
    );
  });

  it("refuse a node without a token where nothing signs, and an audience with a token", () => {
    const token = "node-0123456789abcdef";
    for (const nodes of [[node], [{ url: node.url }], [{ ...node, token }]]) {
      const read = () => readConfig({ TOOLRUNTIME_SECURITY: "dev", TOOLRUNTIME_NODES: JSON.stringify(nodes) });
      expect(read).toThrow(expect.objectContaining({ code: "ERR_CONFIG_INVALID" }) as Error);
    }
    // With keys no static token is needed.
    const keys = JSON.stringify({ keys: [{}], issuers: [{ name: "edge-1" }], audience });
    expect(readConfig({ TOOLRUNTIME_SECURITY: "standard", TOOLRUNTIME_KEYS: keys })).toMatchObject({ hosts: "any", tokens: [] });
  });
});

describe("requestSigner", () => {
  it.each<[string, Partial<RequestSignerOptions>]>([
    ["a life of more than a minute", { lifetimeS: 61 }],
    ["a life of nothing", { lifetimeS: 0 }],
    ["no scope", { scopes: [] }],
    ["a tenant with a line end", { tenant: "a\nb" }],
    ["an audience of nothing", { audience: "" }],
    ["a certificate in hexadecimal", { certificate: "00".repeat(32) }],
  ])("refuses %s", (_, options) => {
    expect(() => signerOf(options)).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT_INVALID" }) as Error);
  });

  it("refuses a key that cannot sign, and does not quote it", () => {
    const { d, ...open } = key;
    for (const wrong of [open, { ...key, d: `${d}A` }, { ...key, crv: "P-384" }]) {
      const make = () => signerOf({ key: wrong as PrivateKey });
      expect(make).toThrow(expect.objectContaining({ code: "ERR_CONFIG_INVALID" }) as Error);
      expect(make).not.toThrow(new RegExp(d));
    }
  });
});
