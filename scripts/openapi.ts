import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Hono } from "hono";
import { describeRoute, generateSpecs, resolver, type DescribeRouteOptions } from "hono-openapi";
import {
  backendListSchema,
  blobSchema,
  eventListSchema,
  eventSchema,
  executionRequestSchema,
  executionSchema,
  healthSchema,
  mediaTypes,
  problemSchema,
  resultSchema,
  toolListSchema,
  toolSchema,
  wireHeaders,
} from "../src/wire.ts";

type Method = "get" | "post" | "delete";
type Responses = NonNullable<DescribeRouteOptions["responses"]>;
type Content = NonNullable<Extract<Responses[string], { content?: unknown }>["content"]>;

function json(description: string, schema: Parameters<typeof resolver>[0]): Responses[string] {
  return { description, content: { [mediaTypes.json]: { schema: resolver(schema) } } };
}

const problem: Responses[string] = {
  description: "What went wrong, as a problem document (RFC 9457)",
  content: { [mediaTypes.problem]: { schema: resolver(problemSchema) } },
};

const streams: Content = {
  [mediaTypes.ndjson]: { schema: resolver(eventSchema) },
  [mediaTypes.sse]: { schema: resolver(eventSchema) },
};

function header(name: string, description: string) {
  return { in: "header", name, description, schema: { type: "string" } } as const;
}

function path(name: string, description: string) {
  return { in: "path", name, required: true, description, schema: { type: "string" } } as const;
}

const bytes = { schema: { type: "string", format: "binary" } } as const;

export const routes = {
  "post /v1/executions": {
    operationId: "execute",
    summary: "Run a tool once",
    description: "Blocks until the tool has ended, streams its events, or answers at once with 202, as the headers say.",
    tags: ["executions"],
    parameters: [
      header("accept", `${mediaTypes.json}, ${mediaTypes.ndjson} or ${mediaTypes.sse}`),
      header("prefer", '"respond-async" answers 202 at once; "wait=10" waits up to 10 s before that'),
      header(wireHeaders.idempotencyKey, "The same key and request run once, whoever sends them how often"),
      header(wireHeaders.deadline, "Milliseconds from now, queue included"),
    ],
    requestBody: {
      required: true,
      content: {
        [mediaTypes.json]: { schema: resolver(executionRequestSchema) },
        [mediaTypes.multipart]: {
          schema: {
            type: "object",
            required: ["task"],
            properties: { task: { type: "string", contentMediaType: mediaTypes.json, description: "An ExecutionRequest" } },
            additionalProperties: { type: "string", format: "binary", description: "A file; the part's name is its path" },
          },
        },
      },
    },
    responses: {
      200: {
        description: "The tool ended by itself, whatever its exit code",
        content: { [mediaTypes.json]: { schema: resolver(resultSchema) }, ...streams },
      },
      202: json("Accepted; see Location", executionSchema),
      default: problem,
    },
  },
  "get /v1/executions/:id": {
    operationId: "getExecution",
    summary: "The state of an execution",
    tags: ["executions"],
    parameters: [path("id", "The execution")],
    responses: { 200: json("Its state, and its result or problem once it has ended", executionSchema), default: problem },
  },
  "delete /v1/executions/:id": {
    operationId: "cancelExecution",
    summary: "Cancel an execution",
    tags: ["executions"],
    parameters: [path("id", "The execution")],
    responses: { 200: json("It has ended, in this way", executionSchema), default: problem },
  },
  "get /v1/executions/:id/events": {
    operationId: "getEvents",
    summary: "The events of an execution",
    tags: ["executions"],
    parameters: [
      path("id", "The execution"),
      {
        in: "query",
        name: "after",
        description: "The sequence number of the last event that is known; -1 for all",
        schema: { type: "integer" },
      },
    ],
    responses: {
      200: {
        description: "What there is (JSON), or all until it has ended",
        content: { ...streams, [mediaTypes.json]: { schema: resolver(eventListSchema) } },
      },
      default: problem,
    },
  },
  "get /v1/tools": {
    operationId: "listTools",
    summary: "All tools",
    tags: ["tools"],
    responses: { 200: json("The tools, the highest version first", toolListSchema), default: problem },
  },
  "get /v1/tools/:name": {
    operationId: "getTool",
    summary: "A tool, in its highest version",
    tags: ["tools"],
    parameters: [path("name", "Its name")],
    responses: { 200: json("The tool", toolSchema), default: problem },
  },
  "get /v1/tools/:name/:version": {
    operationId: "getToolVersion",
    summary: "A version of a tool",
    tags: ["tools"],
    parameters: [path("name", "Its name"), path("version", "A version or a digest")],
    responses: { 200: json("The tool", toolSchema), default: problem },
  },
  "get /v1/backends": {
    operationId: "listBackends",
    summary: "The backends, and what each can enforce here",
    tags: ["backends"],
    responses: { 200: json("The backends with their probes", backendListSchema), default: problem },
  },
  "post /v1/blobs": {
    operationId: "putBlob",
    summary: "Upload a file",
    description: "Its digest may then stand for it in the files of a task.",
    tags: ["blobs"],
    requestBody: { required: true, content: { "application/octet-stream": bytes } },
    responses: { 201: json("It is here", blobSchema), default: problem },
  },
  "get /v1/blobs/:digest": {
    operationId: "getBlob",
    summary: "Download a file",
    tags: ["blobs"],
    parameters: [path("digest", "Its digest")],
    responses: { 200: { description: "Its bytes", content: { "application/octet-stream": bytes } }, default: problem },
  },
  "get /livez": {
    operationId: "live",
    summary: "Whether the process answers",
    tags: ["health"],
    security: [],
    responses: { 200: json("It does", healthSchema) },
  },
  "get /readyz": {
    operationId: "ready",
    summary: "Whether the service takes work",
    tags: ["health"],
    security: [],
    responses: { 200: json("It does", healthSchema), 503: json("It does not", healthSchema) },
  },
  "get /metrics": {
    operationId: "metrics",
    summary: "Prometheus metrics",
    tags: ["health"],
    responses: { 200: { description: "The text format", content: { "text/plain": { schema: { type: "string" } } } }, default: problem },
  },
} satisfies Record<`${Method} /${string}`, DescribeRouteOptions>;

/** The document, with no version of its own: the service that gives it away puts its own in. */
export async function openApiDocument(): Promise<string> {
  const app = new Hono();
  for (const [route, description] of Object.entries(routes)) {
    const [method = "", path = ""] = route.split(" ");
    app.on(method.toUpperCase(), path, describeRoute(description), (c) => c.body(null));
  }
  const specs = await generateSpecs(app, {
    documentation: {
      openapi: "3.1.0",
      info: {
        title: "toolruntime",
        version: "0.0.0",
        description: "One call runs one tool, in the sandbox that the tool needs.",
        license: { name: "MIT", identifier: "MIT" },
      },
      servers: [{ url: "/" }],
      security: [{ bearer: [] }],
      components: { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } },
    },
  });
  return `${JSON.stringify(specs, undefined, 1)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await writeFile(new URL("../src/edge/openapi.json", import.meta.url), await openApiDocument());
