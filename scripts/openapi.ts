import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Hono } from "hono";
import { describeRoute, generateSpecs, resolver, type DescribeRouteOptions } from "hono-openapi";
import { batchEventSchema, batchSchema } from "../src/internal/batch/messages.ts";
import { batchRequestSchema } from "../src/internal/batch/request.ts";
import {
  ackRequestSchema,
  ackSchema,
  backendListSchema,
  blobSchema,
  capacitySchema,
  eventListSchema,
  eventSchema,
  executionRequestSchema,
  executionSchema,
  healthSchema,
  leaseRequestSchema,
  leaseSchema,
  mediaTypes,
  problemSchema,
  resultSchema,
  toolListSchema,
  toolSchema,
  wireHeaders,
} from "../src/wire.ts";

type Method = "get" | "post" | "put" | "delete";
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

const batchStreams: Content = {
  [mediaTypes.ndjson]: { schema: resolver(batchEventSchema) },
  [mediaTypes.sse]: { schema: resolver(batchEventSchema) },
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
      header(
        "prefer",
        '"respond-async" answers 202 at once; "wait=10" waits up to 10 s before that; "return=minimal" leaves out of a streamed result what its events have said',
      ),
      header(wireHeaders.window, "Bytes of output that may be under way to a reader that acknowledges them"),
      header(wireHeaders.idempotencyKey, "The same key and request run once, whoever sends them how often"),
      header(wireHeaders.ticket, "From a 429 that said when to come again: the place that was kept"),
      header(wireHeaders.lease, "The run is ended when nobody renews this lease"),
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
  "post /v1/batches": {
    operationId: "runBatch",
    summary: "Run a tool over many inputs",
    description:
      "Gives each input exactly one item, as it is ready. In NDJSON the first line is the batch without its inputs, and each further line an input, as many as one likes.",
    tags: ["batches"],
    parameters: [
      header("accept", `${mediaTypes.ndjson} or ${mediaTypes.sse}`),
      header("prefer", '"respond-async" answers 202 at once, and the batch goes on without the connection'),
      header(wireHeaders.idempotencyKey, "Each input runs once under the same key: sent again, the batch goes on where it was"),
    ],
    requestBody: {
      required: true,
      content: {
        [mediaTypes.json]: { schema: resolver(batchRequestSchema) },
        [mediaTypes.ndjson]: { schema: { type: "string", description: "A BatchRequest without inputs, then an input a line" } },
      },
    },
    responses: {
      200: { description: "The items as they come, and how it ended", content: batchStreams },
      202: json("Accepted; see Location", batchSchema),
      default: problem,
    },
  },
  "get /v1/batches/:id": {
    operationId: "getBatch",
    summary: "The state of a batch",
    tags: ["batches"],
    parameters: [path("id", "The batch")],
    responses: { 200: json("How far it is, or how it ended", batchSchema), default: problem },
  },
  "delete /v1/batches/:id": {
    operationId: "cancelBatch",
    summary: "Cancel a batch",
    tags: ["batches"],
    parameters: [path("id", "The batch")],
    responses: { 200: json("It has ended, in this way", batchSchema), default: problem },
  },
  "get /v1/batches/:id/items": {
    operationId: "getBatchItems",
    summary: "The items of a batch that was asked for with respond-async",
    tags: ["batches"],
    parameters: [
      path("id", "The batch"),
      {
        in: "query",
        name: "after",
        description: "The sequence number of the last item that is known; -1 for all",
        schema: { type: "integer" },
      },
    ],
    responses: { 200: { description: "All until it has ended", content: batchStreams }, default: problem },
  },
  "post /v1/tools": {
    operationId: "putTool",
    summary: "Send a tool",
    description: "Where the service takes tools. It is found by its digest alone.",
    tags: ["tools"],
    parameters: [{ in: "query", name: "digest", required: true, description: "The tool's digest", schema: { type: "string" } }],
    requestBody: {
      required: true,
      content: {
        [mediaTypes.multipart]: {
          schema: {
            type: "object",
            required: ["manifest"],
            properties: {
              manifest: { type: "string", contentMediaType: mediaTypes.json, description: "The manifest, with its artifacts' digests" },
              wasm: { type: "string", format: "binary" },
              code: { type: "string", format: "binary" },
            },
          },
        },
      },
    },
    responses: { 201: json("It is here", toolSchema), default: problem },
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
  "get /v1/capacity": {
    operationId: "getCapacity",
    summary: "How full the backends are",
    tags: ["backends"],
    responses: { 200: json("Running and waiting runs, and how many there may be", capacitySchema), default: problem },
  },
  "post /v1/executions/:id/ack": {
    operationId: "acknowledge",
    summary: "Say how much output was taken",
    description: `Of a run that was started with the header ${wireHeaders.window}: beyond so many bytes that are not acknowledged its tool is held.`,
    tags: ["executions"],
    parameters: [path("id", "The execution")],
    requestBody: { required: true, content: { [mediaTypes.json]: { schema: resolver(ackRequestSchema) } } },
    responses: { 200: json("It is noted", ackSchema), default: problem },
  },
  "put /v1/leases/:id": {
    operationId: "renewLease",
    summary: "Keep the runs under a lease going",
    tags: ["executions"],
    parameters: [path("id", "1 to 64 of A-Z a-z 0-9 _ -")],
    requestBody: { required: true, content: { [mediaTypes.json]: { schema: resolver(leaseRequestSchema) } } },
    responses: { 200: json("It is renewed", leaseSchema), default: problem },
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
    description: "HEAD says whether it is there and how long it is.",
    tags: ["blobs"],
    parameters: [path("digest", "Its digest"), header("range", "One range of bytes: bytes=100-199")],
    responses: {
      200: { description: "Its bytes", content: { "application/octet-stream": bytes } },
      206: { description: "The range of them", content: { "application/octet-stream": bytes } },
      416: { description: "The range is outside" },
      default: problem,
    },
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
