import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { announce, dnsNodes, joinSources, registration, remote, type NodeSource } from "../../src/adapters/remote/index.ts";
import { nodeFetch, nodesByName } from "../../src/adapters/remote/node.ts";
import { anyone, createApp } from "../../src/edge/index.ts";
import { createRegistry, createRuntime, memoryBlobStore, memoryExecutionStore, type Runtime } from "../../src/index.ts";
import { echoTool, until } from "../edge/support.ts";
import { nodeToken, openNode, toolShelf } from "./support.ts";

const nodesToken = "register-0123456789abcdef";

function runtimeOver(nodes: NodeSource, catalogMs = 100): Runtime {
  const backend = remote({ nodes, catalogMs, random: () => 0 });
  const runtime = createRuntime({ backend, security: "dev" });
  onTestFinished(async () => {
    await runtime.close();
    await backend.close();
  });
  return runtime;
}

/** The name's labels with their lengths (RFC 1035 §3.1). */
function encodeName(name: string): Buffer {
  return Buffer.concat([...name.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.from([0])]);
}

interface Answers {
  srv: { priority: number; port: number; target: string }[];
  a: string[];
}

/** A name server on loopback that answers questions for SRV and A records with what it is told, and others with none. */
async function openNameServer(answers: Answers): Promise<string> {
  const socket: Socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const end = query.indexOf(0, 12) + 5;
    const type = query.readUInt16BE(end - 4);
    const records =
      type === 33 ? answers.srv.map(srvData) : type === 1 ? answers.a.map((ip) => Buffer.from(ip.split(".").map(Number))) : [];
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(records.length, 6);
    head.writeUInt32BE(0, 8);
    const rows = records.map((data) => {
      const row = Buffer.alloc(12);
      row.writeUInt16BE(0xc00c, 0);
      row.writeUInt16BE(type, 2);
      row.writeUInt16BE(1, 4);
      row.writeUInt16BE(data.length, 10);
      return Buffer.concat([row, data]);
    });
    socket.send(Buffer.concat([head, query.subarray(12, end), ...rows]), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  onTestFinished(() => void socket.close());
  return `127.0.0.1:${(socket.address() as AddressInfo).port}`;
}

function srvData({ priority, port, target }: Answers["srv"][number]): Buffer {
  const numbers = Buffer.alloc(6);
  numbers.writeUInt16BE(priority, 0);
  numbers.writeUInt16BE(1, 2);
  numbers.writeUInt16BE(port, 4);
  return Buffer.concat([numbers, encodeName(target)]);
}

const credentials = () => ({ token: nodeToken });

describe("nodes that a name stands for", () => {
  it("come with SRV records and go with them, those of the lowest priority alone", async () => {
    const echo = await echoTool();
    const [one, two] = await Promise.all([0, 1].map(() => openNode(toolShelf([echo]))));
    const answers: Answers = {
      srv: [
        { priority: 1, port: one?.port ?? 0, target: "localhost" },
        { priority: 9, port: 1, target: "localhost" },
      ],
      a: [],
    };
    const servers = [await openNameServer(answers)];
    const source = nodesByName({ name: "_toolruntime._tcp.example", scheme: "http", servers, credentials });
    expect((await source.list?.(undefined))?.map(({ url }) => url)).toEqual([`http://localhost:${one?.port}`]);
    const runtime = runtimeOver(source);
    expect((await runtime.execute({ tool: echo })).backend.via).toBe(`localhost:${one?.port}`);
    answers.srv = [{ priority: 1, port: two?.port ?? 0, target: "localhost" }];
    await until(async () => (await runtime.execute({ tool: echo })).backend.via === `localhost:${two?.port}`, 5000, "the other one");
  });

  it("come with A records, at the port that is given, and stay while the name server is away", async () => {
    const echo = await echoTool();
    const { port } = await openNode(toolShelf([echo]));
    const answers: Answers = { srv: [], a: ["127.0.0.1"] };
    const source = nodesByName({ name: "nodes.example", port, scheme: "http", servers: [await openNameServer(answers)], credentials });
    const runtime = runtimeOver(source);
    expect((await runtime.execute({ tool: echo })).backend.via).toBe(`127.0.0.1:${port}`);
    answers.a = [];
    const notes = async () => (await runtime.probe())[0]?.notes?.join("\n") ?? "";
    expect(await notes()).toContain("The list of nodes cannot be read");
    expect((await runtime.execute({ tool: echo })).backend.via).toBe(`127.0.0.1:${port}`);
  });

  it("have urls that fit their addresses", async () => {
    const resolve = async () => [{ host: "2001:db8::1" }, { host: "10.0.0.1", port: 1 }];
    const urls = async (options: object) => (await dnsNodes({ resolve, ...options }).list?.(undefined))?.map(({ url }) => url);
    expect(await urls({})).toEqual(["https://[2001:db8::1]", "https://10.0.0.1:1"]);
    expect(await urls({ port: 8787, scheme: "http" })).toEqual(["http://[2001:db8::1]:8787", "http://10.0.0.1:1"]);
  });
});

/** An edge at which nodes register. */
function openEdge(options: Partial<Parameters<typeof registration>[0]> = {}) {
  const { app, source } = registration({ token: nodesToken, hosts: ["127.0.0.1", "*.nodes.example"], credentials, ...options });
  const runtime = runtimeOver(source);
  const edge = createApp({
    runtime,
    tools: createRegistry(),
    blobs: memoryBlobStore(),
    executions: memoryExecutionStore(),
    authenticate: anyone(),
    hosts: "any",
    mounts: [{ path: "/v1/nodes", app, access: "public" }],
  });
  const send = async (method: string, body?: object | string, token = nodesToken, path = "") => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const text = typeof body === "object" ? JSON.stringify(body) : body;
    const length = text === undefined ? {} : { "content-length": String(text.length) };
    const init = { method, headers: { ...headers, ...length }, ...(text === undefined ? {} : { body: text }) };
    return edge.fetch(new Request(`http://edge.example/v1/nodes${path}`, init));
  };
  return { runtime, edge, send, source };
}

describe("nodes that register", () => {
  it("get runs while they say that they are there, and none after", async () => {
    const echo = await echoTool();
    const node = await openNode(toolShelf([echo]));
    const { runtime, edge } = openEdge({ ttlMs: 600 });
    const run = () =>
      runtime.execute({ tool: echo }).then(
        ({ backend }) => backend.via,
        ({ code }: { code: string }) => code,
      );
    expect(await run()).toBe("ERR_BACKEND_UNAVAILABLE");
    const viaEdge = async (url: string, init: RequestInit) => edge.fetch(new Request(url, { ...init, headers: withLength(init) }));
    const leave = announce({
      edge: "http://edge.example",
      insecureHttp: true,
      token: nodesToken,
      name: "mine",
      url: node.url,
      fetch: viaEdge,
    });
    await until(async () => (await run()) === "mine", 5000, "the node is known");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await run()).toBe("mine");
    await leave();
    expect(await run()).toBe("ERR_BACKEND_UNAVAILABLE");
  });

  it("are forgotten when they fall silent", async () => {
    const { send, source } = openEdge({ ttlMs: 200 });
    expect((await send("POST", { name: "a", url: "http://127.0.0.1:1" })).status).toBe(200);
    expect(await (await send("GET")).json()).toEqual({ nodes: [{ name: "a", url: "http://127.0.0.1:1" }] });
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(await source.list?.(undefined)).toEqual([]);
  });

  it("are refused without the token, at hosts that are not theirs, and with odd names", async () => {
    const { send, source } = openEdge({ maxNodes: 2 });
    const good = { name: "a", url: "http://127.0.0.1:1" };
    expect((await send("POST", good, "another-0123456789abcdef")).status).toBe(401);
    expect((await send("GET", undefined, "another-0123456789abcdef")).status).toBe(401);
    expect((await send("DELETE", undefined, "another-0123456789abcdef", "/a")).status).toBe(401);
    for (const body of [
      { ...good, url: "http://169.254.169.254/" },
      { ...good, url: "http://nodes.example" },
      { ...good, url: "http://evil-nodes.example" },
      { ...good, url: "http://x.nodes.example.evil.example" },
      { ...good, url: "file:///etc/passwd" },
      { ...good, url: "http://user@127.0.0.1" },
      { ...good, url: "nothing" },
      { ...good, name: "" },
      { ...good, name: "a/b" },
      { ...good, name: "a".repeat(64) },
      { name: "a" },
      "[]",
      "{",
      JSON.stringify({ ...good, more: "x".repeat(5000) }),
    ]) {
      expect([body, (await send("POST", body)).status]).toEqual([body, 400]);
    }
    expect(await source.list?.(undefined)).toEqual([]);
    for (const name of ["a", "b", "c"]) await send("POST", { name, url: "https://1.nodes.example" });
    expect((await source.list?.(undefined))?.map(({ name }) => name)).toEqual(["a", "b"]);
    await send("DELETE", undefined, nodesToken, "/a");
    expect((await source.list?.(undefined))?.map(({ name }) => name)).toEqual(["b"]);
  });

  it("stand beside others", async () => {
    const fixed: NodeSource = { nodes: [{ url: "http://a.example", name: "a" }] };
    const named = dnsNodes({ resolve: async () => [{ host: "b.example" }] });
    const both = joinSources(fixed, named);
    expect(both.nodes?.map(({ url }) => url)).toEqual(["http://a.example"]);
    expect((await both.list?.(undefined))?.map(({ url }) => url)).toEqual(["http://a.example", "https://b.example"]);
  });
});

function withLength({ headers, body }: RequestInit): Headers {
  const all = new Headers(headers);
  if (typeof body === "string") all.set("content-length", String(body.length));
  return all;
}

describe("the connections of Node", () => {
  it("carry runs, forms and large outputs", async () => {
    const echo = await echoTool();
    const { url } = await openNode(toolShelf([echo]));
    const { fetch, close } = nodeFetch({ connections: 4 });
    onTestFinished(close);
    const backend = remote({ nodes: [{ url, token: nodeToken, name: "a" }], fetch });
    const runtime = createRuntime({ backend, security: "dev" });
    const input = { text: "x".repeat(300_000) };
    expect((await runtime.execute({ tool: echo, input })).output).toEqual(input);
    const many = await Promise.all(Array.from({ length: 20 }, (_, index) => runtime.execute({ tool: echo, input: { index } })));
    expect(many.map(({ output }) => output)).toEqual(Array.from({ length: 20 }, (_, index) => ({ index })));
  });
});
