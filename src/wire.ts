import { z } from "zod";
import type { ErrorCode } from "./errors.ts";
import { digestPattern } from "./internal/digest.ts";
import { limitNames, limitUnits, type Quantity } from "./limits.ts";
import { securityProfiles } from "./profile.ts";
import { artifactKinds } from "./tool.ts";

/** The HTTP protocol's messages. Edge, client and remote adapter share these schemas; OpenAPI is generated from them. */

export const mediaTypes = {
  json: "application/json",
  problem: "application/problem+json",
  ndjson: "application/x-ndjson",
  sse: "text/event-stream",
  multipart: "multipart/form-data",
} as const;

export const wireHeaders = {
  requestId: "x-request-id",
  /** Whole milliseconds from the receipt of the request; relative, so that clocks may differ. */
  deadline: "toolruntime-deadline",
  /** draft-ietf-httpapi-idempotency-key-header. */
  idempotencyKey: "idempotency-key",
  traceparent: "traceparent",
} as const;

const digest = z
  .string()
  .regex(digestPattern, 'must be "sha256:" and 64 hexadecimal digits')
  .meta({ examples: [`sha256:${"0".repeat(64)}`] });
const quantity: z.ZodType<Quantity> = z.union([z.number(), z.string()]);
const profile = z.enum(securityProfiles);
const limitName = z.enum(limitNames);

export const resourcesSchema = z
  .strictObject({
    timeout: quantity.exactOptional().describe('Wall time from the tool\'s start: ms, or "30s"'),
    cpuTime: quantity.exactOptional().describe('Time on a processor: ms, or "500ms"'),
    cpu: quantity.exactOptional().describe('Cores at once: "0.5", "500m"'),
    fuel: quantity.exactOptional().describe('Work by count, the same on every machine; WebAssembly alone: units, or "500M"'),
    memory: quantity.exactOptional().describe('Bytes, or "64Mi"'),
    output: quantity.exactOptional().describe("stdout and stderr together, in bytes"),
    disk: quantity.exactOptional().describe("What the tool writes to files, in bytes"),
    processes: quantity.exactOptional().describe("Processes and threads alive at once"),
  })
  .meta({ id: "Resources", description: "Limits as plain numbers in their unit or as quantities" });

const fileNames = ["base64", "text", "digest"] as const;

export const fileSchema = z
  .strictObject({
    base64: z.string().exactOptional().describe("The bytes, RFC 4648 §4"),
    text: z.string().exactOptional().describe("The bytes as UTF-8 text"),
    digest: digest.exactOptional().describe("A blob that the service has"),
  })
  .refine((file) => fileNames.filter((name) => name in file).length === 1, "must have exactly one of base64, text and digest")
  .meta({ id: "File", description: "One input file: exactly one of base64, text and digest" });

// `optional`, not `exactOptional`: the latter tries the inner schema on each absent key, and JSON has no `undefined`.
/** The body of `POST /v1/executions`, and the `task` part of a multipart one. */
export const executionRequestSchema = z
  .strictObject({
    tool: z.string().min(1).max(300).describe('"name", "name@1.2.0" or "name@sha256:…"'),
    input: z.unknown().optional().describe("Given to the tool as JSON on stdin; default {}"),
    files: z.record(z.string(), fileSchema).optional().describe("By path in the tool's working folder; at most 1 MiB together"),
    env: z.record(z.string(), z.union([z.string(), z.strictObject({ secret: z.string() })])).optional(),
    resources: resourcesSchema.optional(),
    security: profile.optional().describe("A floor: the stricter of this and the service's profile holds"),
    bestEffort: z.array(limitName).optional().describe("Limits that may go unenforced where the profile does not demand them"),
    deterministic: z
      .strictObject({
        seed: z.union([z.number(), z.string()]).describe("What all random bytes come of"),
        now: z.union([z.number(), z.string()]).describe("What the clocks show at the start: ms since 1970, or an RFC 3339 time"),
      })
      .optional()
      .describe("Fixes clocks, random and scheduling: the same values give the same output and take the same fuel"),
    deadline: quantity.optional().describe('For everything, queue included: ms from now, or "30s"'),
  })
  .meta({ id: "ExecutionRequest" });

export type ExecutionRequest = z.output<typeof executionRequestSchema>;

export const limitReceiptSchema = z
  .object({
    limit: limitName,
    requested: z.number().exactOptional().describe("Absent where nobody limited it and it was only counted"),
    applied: z.number().exactOptional().describe("Read back from the enforcer; absent where it could not be read"),
    unit: z.enum(Object.values(limitUnits)),
    enforcedBy: z.string(),
    source: z.string().exactOptional(),
    peak: z.number().exactOptional(),
    hit: z.enum(["yes", "no", "unknown"]),
    clampedFrom: z.number().exactOptional(),
    note: z.string().exactOptional(),
  })
  .meta({ id: "LimitReceipt", description: "What really held" });

const perStream = z.object({ stdout: z.boolean(), stderr: z.boolean() });

export const resultSchema = z
  .object({
    id: z.string(),
    output: z.unknown().describe("stdout, read as JSON where the tool declares an output schema, as text otherwise; null where it failed"),
    exitCode: z.int().describe("134 for a trap, 128 + n for a signal"),
    exit: z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("exited"), code: z.int() }),
      z.object({ kind: z.literal("trapped"), trap: z.string() }),
      z.object({ kind: z.literal("signalled"), signal: z.string(), number: z.int() }),
    ]),
    stdout: z.string(),
    stderr: z.string(),
    truncated: perStream.describe("Whether there was more than the capture size"),
    replaced: perStream.describe("Whether bytes that are no UTF-8 stand as U+FFFD"),
    duration: z.number().describe("From the tool's start to its end, in ms"),
    limits: z.array(limitReceiptSchema),
    backend: z.object({
      name: z.string(),
      version: z.string().exactOptional(),
      artifact: z.enum(artifactKinds),
      profile,
      isolation: z.string(),
      network: z.enum(["none", "unfiltered"]),
    }),
    files: z.array(z.object({ path: z.string(), digest, size: z.int() })).describe("Fetch each by GET /v1/blobs/{digest}"),
  })
  .meta({ id: "Result", description: "What a tool that ended by itself has to show, whatever its exit code" });

export type WireResult = z.output<typeof resultSchema>;

/** RFC 9457, with toolruntime's members. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string().describe("The same for each code"),
    status: z.int(),
    detail: z.string(),
    code: z.custom<ErrorCode>((value) => typeof value === "string").meta({ type: "string", examples: ["ERR_INPUT_INVALID"] }),
    actor: z.enum(["caller", "operator", "author", "platform"]).describe("Who has to act before the same call can succeed"),
    retryable: z.boolean(),
    started: z.boolean().describe("Whether the tool's code had started to run"),
    id: z.string().exactOptional().describe("The execution"),
    backend: z.string().exactOptional(),
    details: z.record(z.string(), z.unknown()),
    partial: z
      .object({ stdout: z.string(), stderr: z.string(), truncated: perStream, limits: z.array(limitReceiptSchema) })
      .exactOptional()
      .describe("What the run had produced when it was ended"),
    requestId: z.string(),
  })
  .meta({ id: "Problem" });

export type Problem = z.output<typeof problemSchema>;

const toolName = z.object({ name: z.string(), version: z.string(), digest });
const seq = z.int().min(0).describe("Rises by at least one from event to event");

export const eventSchema = z
  .discriminatedUnion("type", [
    z.object({ type: z.literal("accepted"), seq, id: z.string(), tool: toolName }),
    z.object({ type: z.literal("started"), seq }),
    z.object({
      type: z.enum(["stdout", "stderr"]),
      seq,
      text: z.string().exactOptional().describe("Where the bytes are UTF-8"),
      base64: z.string().exactOptional().describe("Where they are not"),
    }),
    z.object({ type: z.literal("result"), seq, result: resultSchema }),
    z.object({ type: z.literal("error"), seq, problem: problemSchema }),
    z.object({ type: z.literal("end"), seq }).describe("The last one; a stream without it was cut"),
    z.object({ type: z.literal("heartbeat") }).describe("Says that the connection lives; NDJSON only, SSE has comments"),
  ])
  .meta({ id: "Event" });

export type WireEvent = z.output<typeof eventSchema>;

export const executionSchema = z
  .object({
    id: z.string(),
    status: z.enum(["accepted", "running", "ended"]),
    tool: toolName,
    createdAt: z.iso.datetime(),
    endedAt: z.iso.datetime().exactOptional(),
    result: resultSchema.exactOptional(),
    problem: problemSchema.exactOptional(),
  })
  .meta({ id: "Execution" });

export type WireExecution = z.output<typeof executionSchema>;

const jsonSchema = z.union([z.record(z.string(), z.unknown()), z.boolean()]);

export const toolSchema = z
  .object({
    name: z.string(),
    title: z.string().exactOptional(),
    version: z.string(),
    description: z.string(),
    digest,
    artifacts: z.array(z.enum(artifactKinds)),
    inputSchema: jsonSchema,
    outputSchema: jsonSchema.exactOptional(),
    annotations: z.record(z.string(), z.unknown()).exactOptional(),
    resources: z.record(z.string(), z.unknown()).exactOptional(),
    permissions: z.record(z.string(), z.unknown()).exactOptional(),
    examples: z.array(z.record(z.string(), z.unknown())).exactOptional(),
  })
  .meta({ id: "Tool" });

export type WireTool = z.output<typeof toolSchema>;

export const toolListSchema = z.object({ tools: z.array(toolSchema) }).meta({ id: "ToolList" });

export const backendSchema = z
  .object({
    backend: z.string(),
    security: profile,
    status: z.enum(["ready", "unavailable"]),
    version: z.string().exactOptional(),
    reason: z.string().exactOptional(),
    advice: z.string().exactOptional(),
    capabilities: z.array(
      z.object({
        artifact: z.enum(artifactKinds),
        profiles: z.array(profile),
        isolation: z.string(),
        network: z.enum(["none", "unfiltered"]),
        deterministic: z.boolean().exactOptional(),
        limits: z.record(z.string(), z.object({ by: z.string(), min: z.number().exactOptional(), max: z.number().exactOptional() })),
      }),
    ),
    notes: z.array(z.string()).exactOptional(),
    validForMs: z.number(),
  })
  .meta({ id: "Backend" });

export const backendListSchema = z.object({ security: profile, backends: z.array(backendSchema) }).meta({ id: "BackendList" });
export const blobSchema = z.object({ digest, size: z.int() }).meta({ id: "Blob" });
export const eventListSchema = z.object({ events: z.array(eventSchema) }).meta({ id: "EventList" });
export const healthSchema = z.object({ status: z.enum(["ok", "draining", "unavailable"]) }).meta({ id: "Health" });
