import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { compileFile, importBuilt } from "./bundled.ts";
import { allEvents, Caller, eventsOf, token, type Send } from "./calls.ts";
import { buildPackage, openProject, type Project } from "./project.ts";

type Method = "DELETE" | "GET" | "POST";
type Functions = Readonly<Record<Method, Send>>;

describe("examples/vercel", () => {
  let project: Project;
  let caller: Caller;

  beforeAll(async () => {
    using built = buildPackage();
    project = openProject("vercel", built);
    compileFile(project.folder, "api/index.ts");
    vi.stubEnv("TOOLRUNTIME_TOKEN", token);
    vi.stubEnv("TOOLS", join(project.folder, "tools"));
    const functions = await importBuilt<Functions>(project.folder, "index.mjs");
    // A rewritten request keeps its address.
    caller = new Caller("https://toolruntime.vercel.app", (request) => functions[request.method as Method](request));
  });
  afterAll(() => {
    vi.unstubAllEnvs();
    project[Symbol.dispose]();
  });

  test("refuses who has no token", async () => {
    expect((await caller.get("/v1/tools", {})).status).toBe(401);
  });

  test("lists its tools", async () => {
    expect(await (await caller.get("/v1/tools")).json()).toMatchObject({ tools: [{ name: "endless" }, { name: "hash" }, {}, {}] });
  });

  test("runs a tool, with receipts", async () => {
    const { output, limits } = await caller.run({ tool: "hash", input: { text: "hello" }, resources: { fuel: "10M" } });
    expect(output).toMatchObject({ bytes: 5 });
    expect(limits.find(({ limit }) => limit === "fuel")?.peak).toBeGreaterThan(1000);
  });

  test("runs an Extism plug-in", async () => {
    const { output } = await caller.run({ tool: "text-stats", input: { text: "The sea is calm." } });
    expect(output).toMatchObject({ words: 4 });
  });

  test("streams", async () => {
    const accept = { headers: { accept: "application/x-ndjson" } };
    const events = await allEvents(await caller.post({ tool: "hash", input: { text: "hello" } }, accept));
    expect(events.map(({ type }) => type)).toEqual(["accepted", "started", "stdout", "result", "end"]);
  });

  test("ends the run of a caller who goes away, as the platform tells by the request's signal", async () => {
    const gone = new AbortController();
    const options = { headers: { accept: "application/x-ndjson" }, signal: gone.signal };
    const events: string[] = [];
    for await (const event of eventsOf(await caller.post({ tool: "endless", resources: { timeout: "60s" } }, options))) {
      events.push(event.type === "error" ? event.problem.code : event.type);
      if (event.type === "started") gone.abort();
    }
    expect(events).toEqual(["accepted", "started", "ERR_ABORTED", "end"]);
  });

  test("serves others while a tool never ends", async () => {
    const loop = caller.problem({ tool: "endless", resources: { timeout: 1000 } });
    expect(await caller.run({ tool: "hash", input: { text: "x" } })).toMatchObject({ exitCode: 0 });
    expect(await loop).toMatchObject({ code: "ERR_LIMIT_TIMEOUT" });
  });

  test("leads every path to the function, takes the tools along, and serves none of them as files", () => {
    const config: unknown = JSON.parse(readFileSync(join(project.folder, "vercel.json"), "utf8"));
    expect(config).toMatchObject({
      rewrites: [{ source: "/(.*)", destination: "/api" }],
      functions: { "api/index.ts": { includeFiles: "tools/**", supportsCancellation: true } },
    });
    // Without a folder of that name Vercel would serve the whole project, the tools with it.
    expect(existsSync(join(project.folder, "public"))).toBe(true);
  });
});
