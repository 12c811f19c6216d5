import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Hono } from "hono";
import { beforeAll, describe, expect, it } from "vitest";
import type { PrivateKey } from "../../src/adapters/trust/index.ts";
import { createService, parseConfig } from "../../src/adapters/executor/index.ts";
import { createRegistry } from "../../src/index.ts";
import { problemOf } from "../edge/support.ts";
import { audience, forge, keySetOf, makeKey, openTrusting, temporaryFolder } from "./support.ts";

const body = '{"tool":"echo","input":{"a":1}}';

let ed: PrivateKey;
beforeAll(async () => {
  ed = await makeKey("EdDSA");
});

describe("F2 a body that was changed after signing is 401, before anything is run or kept", () => {
  const changed = body.replace("1", "2");

  it("JSON", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    for (const sent of [changed, `${body} `, ` ${body}`, "", body.slice(0, -1)]) {
      const response = await service.send(await forge({ key: ed, body }), { body: sent });
      expect([sent, response.status]).toEqual([sent, 401]);
      expect(service.denied()).toBe("body");
    }
    expect(service.audit()).toEqual([]);
  });

  const boundary = "x-boundary";
  const type = `multipart/form-data; boundary=${boundary}`;
  const form = (content: string, epilogue = "") =>
    [
      `--${boundary}`,
      'Content-Disposition: form-data; name="task"',
      "",
      '{"tool":"echo","input":{}}',
      `--${boundary}`,
      'Content-Disposition: form-data; name="a.txt"; filename="file"',
      "",
      content,
      `--${boundary}--`,
      epilogue,
    ].join("\r\n");

  it("a form: in a file, and behind its last boundary", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const signed = form("good ".repeat(100_000));
    expect((await service.send(await forge({ key: ed, body: signed }), { body: signed, type })).status).toBe(200);
    const runs = service.audit().length;
    for (const sent of [form("evil ".repeat(100_000)), form("good ".repeat(100_000), "more")]) {
      const response = await service.send(await forge({ key: ed, body: signed }), { body: sent, type });
      expect(await problemOf(response)).toMatchObject({ status: 401 });
      expect(service.denied()).toBe("body");
    }
    expect(service.audit()).toHaveLength(runs);
    // What came in the body is not the tenant's.
    const digest = `sha256:${Buffer.from(await crypto.subtle.digest("SHA-256", new TextEncoder().encode("evil ".repeat(100_000)))).toString("hex")}`;
    const get = { method: "GET", target: `/v1/blobs/${digest}` };
    expect((await service.send(await forge({ key: ed, ...get }), get)).status).toBe(404);
  });

  it("a blob, whole and in chunks", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const blob = Buffer.alloc(3_000_000, "good");
    const target = "/v1/blobs";
    expect((await service.send(await forge({ key: ed, target, body: blob }), { target, body: blob })).status).toBe(201);
    const evil = Buffer.from(blob);
    evil[2_999_999] = 0;
    expect((await service.send(await forge({ key: ed, target, body: blob }), { target, body: evil })).status).toBe(401);
    const stream = new ReadableStream({
      start(controller) {
        for (let at = 0; at < evil.length; at += 100_000) controller.enqueue(evil.subarray(at, at + 100_000));
        controller.close();
      },
    });
    const init = {
      method: "POST",
      headers: { authorization: `Bearer ${await forge({ key: ed, target, body: blob })}` },
      body: stream,
      duplex: "half",
    };
    expect((await fetch(`${service.url}${target}`, init as RequestInit)).status).toBe(401);
    expect(service.denied()).toBe("body");
    const digest = `sha256:${Buffer.from(await crypto.subtle.digest("SHA-256", evil)).toString("hex")}`;
    const get = { method: "GET", target: `/v1/blobs/${digest}` };
    expect((await service.send(await forge({ key: ed, ...get }), get)).status).toBe(404);
  });

  it("a batch, of which nothing is run", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const target = "/v1/batches";
    const batch = `{"tool":"echo"}\n${Array.from({ length: 50 }, (_, at) => `{"at":${at}}`).join("\n")}\n`;
    const ndjson = { target, type: "application/x-ndjson" };
    const good = await service.send(await forge({ key: ed, target, body: batch }), { ...ndjson, body: batch });
    expect([good.status, (await good.text()).split('"type":"item"').length]).toEqual([200, 51]);
    const runs = service.audit().length;
    const longer = `${batch}{"at":50}\n`;
    expect((await service.send(await forge({ key: ed, target, body: batch }), { ...ndjson, body: longer })).status).toBe(401);
    expect(service.audit()).toHaveLength(runs);
  });

  it("of a route that is mounted and reads the body by itself", async () => {
    const folder = temporaryFolder();
    const keysFile = join(folder, "jwks.json");
    writeFileSync(keysFile, JSON.stringify(keySetOf(ed)));
    const app = new Hono().post("/", async (c) => c.text(`read ${await c.req.text()}`));
    await using service = await createService({
      config: parseConfig({ port: 0, keys: { trusted: keysFile, issuers: [{ name: "edge-1" }], audience } }),
      tools: createRegistry(),
      logTo: { write() {} },
      mounts: [{ path: "/mounted", app, access: "run" }],
    });
    const { url } = await service.listen();
    const target = "/mounted";
    const send = async (sent: string) =>
      fetch(`${url}${target}`, {
        method: "POST",
        headers: { authorization: `Bearer ${await forge({ key: ed, target, body })}` },
        body: sent,
      });
    expect(await (await send(body)).text()).toBe(`read ${body}`);
    expect((await send(changed)).status).toBe(401);
    expect((await send("")).status).toBe(401);
  });

  it("a body where there is to be none, and a token for one where there is none", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const target = "/v1/executions/ex_none";
    const headers = async (signed: string, method: string) => ({
      authorization: `Bearer ${await forge({ key: ed, method, target, body: signed })}`,
    });
    const send = async (method: string, signed: string, sent?: string) =>
      (
        await fetch(`${service.url}${target}`, {
          method,
          headers: await headers(signed, method),
          ...(sent === undefined ? {} : { body: sent }),
        })
      ).status;
    expect(await send("GET", "")).toBe(404);
    expect(await send("DELETE", "")).toBe(404);
    expect(await send("GET", "x")).toBe(401);
    expect(await send("DELETE", "", "x")).toBe(401);
    expect(await send("DELETE", "x", "x")).toBe(401);
  });
});
