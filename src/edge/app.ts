// With its smallest router: what an isolate must read before its first answer counts for more than a microsecond in each.
import { Hono } from "hono/tiny";
import { cors } from "hono/cors";
import { methodNotAllowed } from "hono/method-not-allowed";
import { ToolRuntimeError } from "../errors.ts";
import { wireHeaders } from "../internal/wire-names.ts";
import type { BatchRoutes } from "./batches.ts";
import { readBytes } from "./body.ts";
import { getBlob, putBlob } from "./blobs.ts";
import { getTool, listBackends, listTools, live, Prober, ready } from "./catalog.ts";
import { cancelExecution, getEvents, getExecution } from "./executions.ts";
import { Leases, renewLease } from "./leases.ts";
import { getCapacity } from "./load.ts";
import { openApi } from "./openapi.ts";
import { normalize, type AppOptions, type Settings } from "./options.ts";
import { headersOf, replyJson, replyProblem } from "./reply.ts";
import { Runner } from "./runner.ts";
import { acknowledge } from "./window.ts";
import { gate, identify, noteError, type AppContext, type AppEnv } from "./scope.ts";

/**
 * The HTTP service as a Hono app, for any platform that has fetch. It knows no backend: the runtime behind it may be one
 * backend, a router over many, or a client of other nodes.
 */
export function createApp(options: AppOptions): Hono<AppEnv> {
  const settings = normalize(options);
  const leases = new Leases();
  const runner = new Runner(settings, leases);
  const prober = new Prober(settings);
  const app = new Hono<AppEnv>();
  const refuse = (c: AppContext, error: unknown, headers?: Record<string, string>): Response =>
    replyProblem(c.get("scope").requestId, noteError(settings, c.get("scope"), error), headers);
  app.onError((error, c) => refuse(c, error));
  const checkMethod = methodNotAllowed({
    app,
    onMethodNotAllowed: (c: AppContext, methods) => refuse(c, wrongMethod(c, methods), { allow: methods.join(", ") }),
  });
  app.notFound(async (c) => {
    // As a middleware it would look at each answer; only those without a route concern it.
    await checkMethod(c, async () => {
      c.res = new Response(null, { status: 404 });
    });
    return c.res.status === 404 ? refuse(c, routeNotFound(c)) : c.res;
  });
  app.use(gate(settings));
  if (settings.origins.length > 0)
    app.use(
      cors({
        origin: [...settings.origins],
        exposeHeaders: ["location", "retry-after", "x-request-id", wireHeaders.load, wireHeaders.ticket],
      }),
    );
  addRoutes(app, runner, prober, settings);
  app.get("/v1/capacity", getCapacity(settings));
  app.put("/v1/leases/:id", renewLease(leases, settings));
  for (const { path, app: mounted, access } of settings.mounts) {
    if (access !== "public") {
      const check = async (c: AppContext, next: () => Promise<void>): Promise<void> => {
        await identify(c, settings, access);
        await checkWhole(c, settings);
        await next();
      };
      app.use(path, check).use(`${path}/*`, check);
    }
    app.route(path, mounted);
  }
  return app;
}

/** Of a route that reads the body by itself: it gets one that was compared with what the caller's token is for. */
async function checkWhole(c: AppContext, { limits }: Settings): Promise<void> {
  if (c.get("scope").bodyCheck === undefined || c.req.raw.body === null) return;
  const bytes = await readBytes(c, limits.maxJsonBytes);
  c.get("scope").bodyCheck = undefined;
  c.req.raw = new Request(c.req.raw, { method: c.req.method, body: bytes as Uint8Array<ArrayBuffer> });
}

function routeNotFound(c: AppContext): ToolRuntimeError {
  const path = JSON.stringify(c.req.path.slice(0, 200));
  return new ToolRuntimeError("ERR_ROUTE_NOT_FOUND", `Cannot find ${path}: the service has no such path; see /openapi.json`);
}

function wrongMethod(c: AppContext, methods: readonly string[]): ToolRuntimeError {
  const method = JSON.stringify(c.req.method.slice(0, 20));
  return new ToolRuntimeError("ERR_METHOD_NOT_ALLOWED", `Cannot take ${method} at this path: it takes ${methods.join(", ")}`, {
    details: { allowed: methods },
  });
}

function addRoutes(app: Hono<AppEnv>, runner: Runner, prober: Prober, settings: Settings): void {
  let execute: ((c: AppContext) => Promise<Response>) | undefined;
  app.post("/v1/executions", async (c) => {
    // What reads and checks a task is loaded with the first one: an isolate is asked before it has read all its code.
    execute ??= (await import("./execute.ts")).execute(runner, settings);
    return execute(c);
  });
  app.get("/v1/executions/:id", getExecution(settings));
  app.delete("/v1/executions/:id", cancelExecution(runner, settings));
  app.get("/v1/executions/:id/events", getEvents(settings));
  app.post("/v1/executions/:id/ack", acknowledge(runner, settings));
  let batches: Promise<BatchRoutes> | undefined;
  const batch = (route: keyof BatchRoutes) => async (c: AppContext) => {
    batches ??= import("./batches.ts").then(({ batchRoutes }) => batchRoutes(runner, settings));
    return (await batches)[route](c);
  };
  app.post("/v1/batches", batch("post"));
  app.get("/v1/batches/:id", batch("get"));
  app.delete("/v1/batches/:id", batch("cancel"));
  app.get("/v1/batches/:id/items", batch("items"));
  app.get("/v1/tools", listTools(settings));
  app.post("/v1/tools", async (c) => (await import("./tool-uploads.ts")).putTool(settings)(c));
  app.get("/v1/tools/:name", getTool(settings));
  app.get("/v1/tools/:name/:version", getTool(settings));
  app.get("/v1/backends", listBackends(prober, settings));
  app.post("/v1/blobs", putBlob(settings));
  app.get("/v1/blobs/:digest", getBlob(settings));
  app.get("/livez", live());
  app.get("/readyz", ready(prober, settings));
  const { metrics } = settings;
  if (metrics !== undefined) {
    const expose = async (c: AppContext): Promise<Response> => {
      await identify(c, settings, "metrics");
      const { contentType, text } = await metrics.expose({ running: runner.running });
      return new Response(text, { headers: headersOf(c.get("scope").requestId, contentType) });
    };
    app.get("/metrics", expose);
  }
  const document = openApi(settings);
  app.get("/openapi.json", async (c) => replyJson(c.get("scope").requestId, 200, await document()));
}
