import { describe, expect, it } from "vitest";
import { errorCodes } from "../../src/index.ts";
import { statusOf } from "../../src/edge/index.ts";
import { backendListSchema, healthSchema, toolListSchema, toolSchema } from "../../src/wire.ts";
import { bearer, openService, problemOf, tokens } from "./support.ts";

describe("the catalog", () => {
  it("lists and describes tools, by version and by digest, without saying where their artifacts are", async () => {
    const { get } = await openService({}, { script: "echo secret-argument" });
    const { tools } = toolListSchema.parse(await (await get("/v1/tools")).json());
    expect(tools.map(({ name }) => name)).toEqual(["echo", "script"]);
    const echo = toolSchema.parse(await (await get("/v1/tools/echo")).json());
    expect(echo).toMatchObject({ name: "echo", version: "1.0.0", artifacts: ["wasm"] });
    for (const version of ["1.0.0", echo.digest]) expect(await (await get(`/v1/tools/echo/${version}`)).json()).toEqual(echo);
    expect(await (await get("/v1/tools/script")).text()).not.toContain("secret-argument");
    expect(await problemOf(await get("/v1/tools/echo/9.9.9"))).toMatchObject({ status: 404, code: "ERR_TOOL_NOT_FOUND" });
  });

  it("lists the backends with what each can enforce", async () => {
    const { get } = await openService({}, { script: "true" });
    const { backends, security } = backendListSchema.parse(await (await get("/v1/backends")).json());
    expect(security).toBe("dev");
    expect(backends.map(({ backend, status }) => [backend, status])).toEqual([
      ["wasm", "ready"],
      ["unsafe", "ready"],
    ]);
  });

  it("is live, ready, and measured", async () => {
    const { get, post } = await openService();
    for (const path of ["/livez", "/readyz"]) expect(healthSchema.parse(await (await get(path)).json())).toEqual({ status: "ok" });
    await post({ tool: "echo" });
    await post({ tool: "echo", resources: { cpu: 0.5 } });
    const metrics = await (await get("/metrics")).text();
    expect(metrics).toContain('toolruntime_executions_total{tool="echo",backend="wasm",outcome="OK"} 1');
    expect(metrics).toContain('toolruntime_executions_total{tool="echo",backend="wasm",outcome="ERR_LIMIT_UNENFORCEABLE"} 1');
    expect(metrics).toContain('toolruntime_execution_duration_seconds_count{tool="echo"} 2');
    expect(metrics).toContain("toolruntime_inflight 0");
  });

  it("describes itself as OpenAPI 3.1, every route and every schema", async () => {
    const { get } = await openService();
    const document = (await (await get("/openapi.json")).json()) as {
      openapi: string;
      paths: Record<string, Record<string, { operationId: string; responses: Record<string, unknown> }>>;
      components: { schemas: Record<string, unknown> };
    };
    expect(document.openapi).toMatch(/^3\.1/);
    const routes = Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`));
    expect(routes.toSorted()).toEqual([
      "delete /v1/batches/{id}",
      "delete /v1/executions/{id}",
      "get /livez",
      "get /metrics",
      "get /readyz",
      "get /v1/backends",
      "get /v1/batches/{id}",
      "get /v1/batches/{id}/items",
      "get /v1/blobs/{digest}",
      "get /v1/capacity",
      "get /v1/executions/{id}",
      "get /v1/executions/{id}/events",
      "get /v1/tools",
      "get /v1/tools/{name}",
      "get /v1/tools/{name}/{version}",
      "post /v1/batches",
      "post /v1/blobs",
      "post /v1/executions",
      "post /v1/executions/{id}/ack",
      "post /v1/tools",
      "put /v1/leases/{id}",
    ]);
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining(["ExecutionRequest", "Result", "Problem", "Event", "Execution", "Tool"]),
    );
    const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name ?? "");
    expect(references.length).toBeGreaterThan(10);
    for (const name of references) expect(document.components.schemas).toHaveProperty(name);
  });

  it("says which methods a path takes, and that a path is none", async () => {
    const { url, get } = await openService();
    const wrong = await fetch(`${url}/v1/backends`, { method: "POST" });
    expect(wrong.headers.get("allow")).toBe("GET, HEAD");
    expect(await problemOf(wrong)).toMatchObject({ status: 405, code: "ERR_METHOD_NOT_ALLOWED" });
    expect(await problemOf(await get("/v2"))).toMatchObject({ status: 404, code: "ERR_ROUTE_NOT_FOUND" });
    const head = await fetch(`${url}/livez`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });
});

describe("a token's scopes", () => {
  it("bound what it may do", async () => {
    const { get, post } = await openService({ tokens: [tokens.reader, tokens.alice] });
    expect((await get("/v1/tools", bearer("reader"))).status).toBe(200);
    expect(await problemOf(await post({ tool: "echo" }, bearer("reader")))).toMatchObject({
      status: 403,
      code: "ERR_FORBIDDEN",
      details: { scope: "run" },
    });
    expect((await get("/metrics", bearer("reader"))).status).toBe(403);
    expect((await get("/metrics", bearer("alice"))).status).toBe(200);
  });
});

describe("the status table", () => {
  const codes = Object.keys(errorCodes) as (keyof typeof errorCodes)[];

  it("has a client's or a server's error for each code", () => {
    const odd = codes.filter((code) => statusOf(code) < 400 || statusOf(code) >= 600);
    expect(odd).toEqual([]);
  });

  it("blames the server only where caller and author can do nothing", () => {
    const unfair = codes.filter((code) => statusOf(code) >= 500 && ["caller", "author"].includes(errorCodes[code].actor));
    expect(unfair).toEqual([]);
  });
});
