import { connect } from "node:net";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { memoryReplays, publicPartOf, type PrivateKey } from "../../src/adapters/trust/index.ts";
import { replayFile, type ReplayFile } from "../../src/adapters/executor/replay-file.ts";
import { seen, startCli } from "../cli/support.ts";
import { problemOf } from "../edge/support.ts";
import { audience, forge, keySetOf, makeKey, openTrusting, temporaryFolder } from "./support.ts";

const body = '{"tool":"echo","input":{"a":1}}';

let ed: PrivateKey;
beforeAll(async () => {
  ed = await makeKey("EdDSA");
});

describe("F2 a signed request is good once, for one request", () => {
  it("again, it is 409; many at once, one is taken", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const token = await forge({ key: ed, body });
    expect((await service.send(token, { body })).status).toBe(200);
    expect(await problemOf(await service.send(token, { body }))).toMatchObject({ status: 409, code: "ERR_TOKEN_REPLAYED", started: true });
    const contested = await forge({ key: ed, body });
    const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await service.send(contested, { body })).status));
    expect(statuses.toSorted()).toEqual([200, ...Array.from({ length: 19 }, () => 409)]);
    expect(service.audit().filter((line) => line.includes('"event":"accepted"'))).toHaveLength(2);
  });

  it("on two connections whose heads arrive together, one is taken", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const token = await forge({ key: ed, body });
    const request = `POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
    const open = () =>
      new Promise<string>((resolve) => {
        const socket = connect(service.port, "127.0.0.1", () => socket.write(request));
        let text = "";
        socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
        socket.on("close", () => resolve(text.slice(9, 12)));
        // Both heads are there before either body is.
        setTimeout(() => socket.write(body), 200);
      });
    expect((await Promise.all([open(), open()])).toSorted()).toEqual(["200", "409"]);
  });

  it("an issuer may use an id that another one used", async () => {
    const second = await makeKey("EdDSA", { iss: "edge-2" });
    const keys = { keys: [{ ...publicPartOf(ed), iss: "edge-1" }, publicPartOf(second)] };
    const service = await openTrusting({ keys, issuers: [{ name: "edge-1" }, { name: "edge-2" }] });
    const claims = { jti: crypto.randomUUID() };
    expect((await service.send(await forge({ key: ed, body, claims }), { body })).status).toBe(200);
    expect((await service.send(await forge({ key: second, body, claims: { ...claims, iss: "edge-2" } }), { body })).status).toBe(200);
    // Nobody signs for another one.
    expect((await service.send(await forge({ key: second, body }), { body })).status).toBe(401);
    expect(service.denied()).toBe("issuer");
  });

  it("an issuer that sends too much is refused, and does not push out another's, nor its own", async () => {
    const second = await makeKey("EdDSA", { iss: "edge-2" });
    const keys = { keys: [{ ...publicPartOf(ed), iss: "edge-1" }, publicPartOf(second)] };
    const config = (keysFile: string) => ({
      trusted: keysFile,
      issuers: [{ name: "edge-1" }, { name: "edge-2" }],
      audience,
      maxTokensPerIssuer: 3,
    });
    const probe = await openTrusting({ keys, issuers: [{ name: "edge-1" }, { name: "edge-2" }] });
    const service = await openTrusting({ keys, config: { keys: config(probe.keysFile) } });
    const first = await forge({ key: second, body, claims: { iss: "edge-2" } });
    expect((await service.send(first, { body })).status).toBe(200);
    const own = await Promise.all(Array.from({ length: 3 }, () => forge({ key: ed, body })));
    for (const token of own) expect((await service.send(token, { body })).status).toBe(200);
    const full = await service.send(await forge({ key: ed, body }), { body });
    expect(full.headers.get("retry-after")).toBe("5");
    expect(await problemOf(full)).toMatchObject({ status: 429, code: "ERR_RATE_LIMITED" });
    for (const token of [first, ...own]) expect((await service.send(token, { body })).status).toBe(409);
    expect((await service.send(await forge({ key: second, body, claims: { iss: "edge-2" } }), { body })).status).toBe(200);
  });

  it("with another method, path or query it is 401, and is still good for its own", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const get = { method: "GET", target: "/v1/tools" };
    const token = await forge({ key: ed, ...get });
    for (const request of [
      { method: "GET", target: "/v1/backends" },
      { method: "GET", target: "/v1/tools?a=1" },
      { method: "GET", target: "/v1/tools/" },
      { method: "GET", target: "/v1/tool%73" },
      { method: "GET", target: "//v1/tools" },
      { method: "POST", target: "/v1/executions", body },
      { method: "HEAD", target: "/v1/tools" },
    ]) {
      const response = await fetch(`${service.url}${request.target}`, {
        method: request.method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(request.body === undefined ? {} : { body: request.body }),
      });
      expect([request, [401, 404].includes(response.status)]).toEqual([request, true]);
    }
    expect((await service.send(token, get)).status).toBe(200);
  });
});

describe("a service that keeps its state", () => {
  it("knows after a kill -9 which tokens were used before", async () => {
    const folder = temporaryFolder();
    const keysFile = join(folder, "jwks.json");
    writeFileSync(keysFile, JSON.stringify(keySetOf(ed)));
    const config = join(folder, "node.json");
    const keys = { trusted: keysFile, issuers: [{ name: "edge-1" }] };
    writeFileSync(config, JSON.stringify({ port: 0, name: audience, state: { folder: "state" }, tools: folder, keys }));
    const start = async () => {
      const child = startCli(["serve", "--config", config]);
      return { child, url: /http:\/\/\S+/.exec(await seen(child.stdout, "Ctrl-C"))?.[0] ?? "" };
    };
    const get = { method: "GET", target: "/v1/tools" };
    const first = await start();
    const [used, unused] = [await forge({ key: ed, ...get }), await forge({ key: ed, ...get })];
    const ask = async (url: string, token: string) =>
      (await fetch(`${url}/v1/tools`, { headers: { authorization: `Bearer ${token}` } })).status;
    expect([await ask(first.url, used), await ask(first.url, used)]).toEqual([200, 409]);
    const gone = new Promise((resolve) => first.child.once("exit", resolve));
    first.child.kill("SIGKILL");
    await gone;
    const second = await start();
    expect([await ask(second.url, used), await ask(second.url, unused), await ask(second.url, unused)]).toEqual([409, 200, 409]);
  }, 60_000);

  it("has no more room after a restart than before", () => {
    const folder = temporaryFolder();
    const spend = (replays: ReplayFile, id: string) => replays.spend({ issuer: "a", id, validForMs: 60_000 });
    const first = replayFile({ folder, maxPerIssuer: 2 });
    expect(["1", "2", "3"].map((id) => spend(first, id))).toEqual(["first", "first", "full"]);
    first.close();
    const second = replayFile({ folder, maxPerIssuer: 2 });
    expect(["1", "2", "3"].map((id) => spend(second, id))).toEqual(["seen", "seen", "full"]);
    second.close();
  });
});

describe("memoryReplays", () => {
  it("forgets what has run out, and then has room again", async () => {
    const replays = memoryReplays({ maxPerIssuer: 1 });
    const spend = (id: string, validForMs = 1) => replays.spend({ issuer: "a", id, validForMs });
    expect([spend("1"), spend("1"), spend("2")]).toEqual(["first", "seen", "full"]);
    await new Promise((resolve) => setTimeout(resolve, 10_100));
    expect([spend("2"), spend("1")]).toEqual(["first", "full"]);
  }, 15_000);
});
