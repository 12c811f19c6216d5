import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createService, parseConfig, type ServiceConfigInput } from "../../src/adapters/executor/index.ts";
import { nodeFetch, type NodeFetchOptions } from "../../src/adapters/remote/node-fetch.ts";
import { requestSigner, type PrivateKey } from "../../src/adapters/trust/index.ts";
import { createClient, type ClientOptions } from "../../src/client.ts";
import { createRegistry } from "../../src/index.ts";
import { openService, openSocket, sendRaw, tokens, until, type Opened } from "../edge/support.ts";
import { Authority, type Certificate } from "./certificates.ts";
import { audience, keySetOf, makeKey, temporaryFolder } from "./support.ts";

let authority: Authority;
let stranger: Authority;
let server: Certificate;
let caller: Certificate;
let otherCaller: Certificate;
let key: PrivateKey;

beforeAll(async () => {
  [authority, stranger] = [await Authority.open(), await Authority.open("Another root")];
  [server, caller, otherCaller] = [await authority.issue("node-1"), await authority.issue("edge-1"), await authority.issue("edge-2")];
  key = await makeKey("EdDSA");
});

interface Files {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile: string;
  readonly trusted: string;
  /** Replaces what a file holds. */
  write(file: "cert" | "key" | "ca", content: string): void;
}

function files(): Files {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder, name);
  const write = (file: string, content: string) => writeFileSync(at(file), content);
  write("cert", server.cert);
  write("key", server.key);
  write("ca", authority.ca);
  write("jwks.json", JSON.stringify(keySetOf(key)));
  return { certFile: at("cert"), keyFile: at("key"), clientCaFile: at("ca"), trusted: at("jwks.json"), write };
}

async function openTls(on: Files, isMutual: boolean, config: ServiceConfigInput = {}): Promise<Opened> {
  const { certFile, keyFile, clientCaFile, trusted } = on;
  const tls = { certFile, keyFile, ...(isMutual ? { clientCaFile } : {}) };
  return openService({
    security: "standard",
    tokens: [tokens.alice],
    keys: { trusted, issuers: [{ name: "edge-1" }], audience },
    tls,
    ...config,
  });
}

function clientOf({ url }: Opened, tls: NodeFetchOptions, options: Partial<ClientOptions> = {}) {
  const connections = nodeFetch(tls);
  onTestFinished(() => connections.close());
  return createClient({ url, token: tokens.alice.token, retries: 0, fetch: connections.fetch, ...options });
}

const task = { tool: "echo", input: { a: 1 } };

describe("TLS", () => {
  it("serves and is asked with its root alone, forms and streams too", async () => {
    const service = await openTls(files(), false);
    expect(service.url).toMatch(/^https:/);
    const client = clientOf(service, { ca: authority.ca });
    expect((await client.run(task)).output).toEqual({ a: 1 });
    const big = new Uint8Array(2_000_000).fill(97);
    expect((await client.run({ ...task, files: { "a.txt": big } })).exitCode).toBe(0);
    const { digest } = await client.blobs.put(new Blob([big]).stream());
    expect(await client.blobs.get(digest)).toEqual(big);
    const types: string[] = [];
    for await (const { type } of client.stream(task)) types.push(type);
    expect(types.at(-1)).toBe("result");
    await expect(client.tools.get("none")).rejects.toMatchObject({ code: "ERR_TOOL_NOT_FOUND" });
  });

  it("is not asked under another root, nor under another name", async () => {
    const service = await openTls(files(), false);
    for (const tls of [{}, { ca: stranger.ca }, { ca: authority.ca, serverName: "node-2.example" }]) {
      await expect(clientOf(service, tls).run(task)).rejects.toMatchObject({
        code: "ERR_CONNECTION_FAILED",
        started: expect.any(Boolean) as boolean,
      });
    }
    expect(service.audit()).toEqual([]);
  });

  it("takes nothing below TLS 1.3, and nothing in the clear", async () => {
    const service = await openTls(files(), false);
    const protocolOf = (maxVersion: "TLSv1.2" | "TLSv1.3") =>
      new Promise<string>((resolve) => {
        const socket = connectTls({ host: "127.0.0.1", port: service.port, ca: authority.ca, maxVersion }, () => {
          resolve(socket.getProtocol() ?? "none");
          socket.destroy();
        });
        socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
      });
    expect(await protocolOf("TLSv1.3")).toBe("TLSv1.3");
    expect(await protocolOf("TLSv1.2")).toMatch(/PROTOCOL_VERSION|ECONNRESET/);
    expect((await sendRaw(service.port, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")).status).not.toBe(200);
    expect((await clientOf(service, { ca: authority.ca }).tools.list()).length).toBe(1);
  });

  it("takes new certificates without a restart, and keeps the old ones where the new ones are broken", async () => {
    const on = files();
    const service = await openTls(on, false);
    const old = clientOf(service, { ca: authority.ca });
    await old.run(task);
    on.write("cert", (await stranger.issue("node-1")).cert);
    // The key is not replaced yet.
    await service.service.reload();
    expect((await clientOf(service, { ca: authority.ca }).run(task)).exitCode).toBe(0);
    expect(service.log.some((line) => line.includes("configuration: tls") && line.includes("stays"))).toBe(true);
    const next = await stranger.issue("node-1");
    on.write("cert", next.cert);
    on.write("key", next.key);
    await service.service.reload();
    expect((await clientOf(service, { ca: stranger.ca }).run(task)).exitCode).toBe(0);
    await expect(clientOf(service, { ca: authority.ca }).run(task)).rejects.toMatchObject({ code: "ERR_CONNECTION_FAILED" });
    // A connection that is there goes on.
    expect((await old.run(task)).exitCode).toBe(0);
    expect(service.log.join("")).not.toContain("PRIVATE");
  });

  it("sees by itself that the files have changed", async () => {
    const on = files();
    const service = await openTls(on, false);
    const next = await stranger.issue("node-1");
    on.write("cert", next.cert);
    on.write("key", next.key);
    await expect.poll(() => service.log.some((line) => line.includes("certificates read again")), { timeout: 20_000 }).toBe(true);
    expect((await clientOf(service, { ca: stranger.ca }).run(task)).exitCode).toBe(0);
  }, 30_000);

  it("F4 closes connections that do not shake hands, and readers that never read", async () => {
    const flood = { flood: "yes 0123456789012345678901234567890123456789" };
    const limits = { requestMs: 500, stalledReaderMs: 500 };
    const { certFile, keyFile } = files();
    const service = await openService({ tls: { certFile, keyFile }, limits }, flood);
    const silent = await openSocket(service.port);
    silent.on("error", () => undefined);
    const isClosed = new Promise((resolve) => silent.once("close", resolve));
    silent.resume();
    const reader = connectTls({ host: "127.0.0.1", port: service.port, ca: authority.ca });
    reader.on("error", () => undefined);
    const body = JSON.stringify({ tool: "flood", resources: { output: "100Mi" } });
    const head = ["POST /v1/executions HTTP/1.1", "Host: localhost", "Accept: application/x-ndjson", "Content-Type: application/json"];
    reader.pause();
    reader.write(`${[...head, `Content-Length: ${body.length}`].join("\r\n")}\r\n\r\n${body}`);
    await isClosed;
    await until(() => service.audit().some((line) => line.includes("ERR_ABORTED")), 15_000, "the run of the reader is ended");
    reader.destroy();
    expect((await clientOf(service, { ca: authority.ca }).run(task)).exitCode).toBe(0);
  }, 30_000);

  it("does not start with files that are not there or do not belong together", async () => {
    const on = files();
    on.write("key", caller.key);
    await expect(openTls(on, false)).rejects.toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringContaining("tls: ") as string,
    });
    await expect(openTls({ ...on, keyFile: "/no/such" }, false)).rejects.toMatchObject({
      message: expect.stringContaining("ENOENT") as string,
    });
  });
});

describe("mutual TLS", () => {
  it("lets nobody in without a certificate of its roots, whatever token there is", async () => {
    const service = await openTls(files(), true);
    const foreign = await stranger.issue("edge-1");
    const old = await authority.issue("edge-1", -60_000);
    for (const own of [{}, foreign, old, { cert: caller.cert, key: caller.key, ca: stranger.ca }]) {
      await expect(clientOf(service, { ca: authority.ca, ...own }).run(task)).rejects.toMatchObject({ code: "ERR_CONNECTION_FAILED" });
    }
    expect(service.audit()).toEqual([]);
    const { cert, key: own } = caller;
    expect((await clientOf(service, { ca: authority.ca, cert, key: own }).run(task)).exitCode).toBe(0);
    // The certificate says who is on the line, the token who calls.
    await expect(
      clientOf(service, { ca: authority.ca, cert, key: own }, { token: "none-0123456789abcdef" }).run(task),
    ).rejects.toMatchObject({
      code: "ERR_UNAUTHORIZED",
    });
  });

  it("holds a signed token to the certificate that it names (RFC 8705)", async () => {
    const service = await openTls(files(), true);
    const signer = requestSigner({ key, issuer: "edge-1", subject: "alice", audience, certificate: caller.digest });
    const as = ({ cert, key: own }: Certificate) => clientOf(service, { ca: authority.ca, cert, key: own }, { signer });
    expect((await as(caller).run(task)).exitCode).toBe(0);
    await expect(as(otherCaller).run(task)).rejects.toMatchObject({ code: "ERR_UNAUTHORIZED" });
    expect(service.log.some((line) => line.includes('"denied":"certificate"'))).toBe(true);
    const plain = await openTls(files(), false);
    await expect(clientOf(plain, { ca: authority.ca }, { signer }).run(task)).rejects.toMatchObject({ code: "ERR_UNAUTHORIZED" });
  });

  it("looks at the certificate again on each connection: one whose root is gone gets no further", async () => {
    const on = files();
    const service = await openTls(on, true);
    const { cert, key: own } = caller;
    const tls = { ca: authority.ca, cert, key: own };
    expect((await clientOf(service, tls).run(task)).exitCode).toBe(0);
    on.write("ca", stranger.ca);
    await service.service.reload();
    await expect(clientOf(service, tls).run(task)).rejects.toMatchObject({ code: "ERR_CONNECTION_FAILED" });
    const next = await stranger.issue("edge-1");
    expect((await clientOf(service, { ...tls, cert: next.cert, key: next.key }).run(task)).exitCode).toBe(0);
  });

  it("is demanded by profile hardened away from loopback, and advised on it", async () => {
    const start = (config: ServiceConfigInput) =>
      createService({
        config: parseConfig({ port: 0, security: "hardened", tokens: [tokens.alice], ...config }),
        tools: createRegistry(),
        logTo: { write() {} },
      });
    const { certFile, keyFile, clientCaFile } = files();
    const open = { host: "0.0.0.0", hosts: "any" as const };
    for (const tls of [{}, { tls: { certFile, keyFile } }]) {
      await expect(start({ ...open, ...tls })).rejects.toMatchObject({
        code: "ERR_CONFIG_INVALID",
        message: expect.stringContaining('"clientCaFile"') as string,
      });
    }
    await using mutual = await start({ ...open, tls: { certFile, keyFile, clientCaFile } });
    expect(mutual.warnings).toEqual([]);
    await using local = await start({});
    expect(local.warnings).toEqual([expect.stringContaining("clientCaFile")]);
  });
});
