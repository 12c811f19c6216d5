import * as z from "zod/mini";
import type { ErrorCode } from "./errors.ts";
import { digestPattern } from "./internal/digest.ts";
import { limitNames, limitUnits, type Quantity } from "./limits.ts";
import { securityProfiles } from "./profile.ts";
import { artifactKinds } from "./tool.ts";

/** The HTTP protocol's messages. Edge, client and remote adapter share these schemas; OpenAPI is generated from them. */

const docs = z.globalRegistry;

export { mediaTypes, wireHeaders } from "./internal/wire-names.ts";

const digest = z
  .string()
  .check(z.regex(digestPattern, 'must be "sha256:" and 64 hexadecimal digits'))
  .register(docs, { examples: [`sha256:${"0".repeat(64)}`] });
const quantity: z.ZodMiniType<Quantity> = z.union([z.number(), z.string()]);
const profile = z.enum(securityProfiles);
const limitName = z.enum(limitNames);

export const resourcesSchema = z
  .strictObject({
    timeout: z.exactOptional(quantity).register(docs, { description: 'Wall time from the tool\'s start: ms, or "30s"' }),
    cpuTime: z.exactOptional(quantity).register(docs, { description: 'Time on a processor: ms, or "500ms"' }),
    cpu: z.exactOptional(quantity).register(docs, { description: 'Cores at once: "0.5", "500m"' }),
    fuel: z
      .exactOptional(quantity)
      .register(docs, { description: 'Work by count, the same on every machine; WebAssembly alone: units, or "500M"' }),
    memory: z.exactOptional(quantity).register(docs, { description: 'Bytes, or "64Mi"' }),
    output: z.exactOptional(quantity).register(docs, { description: "stdout and stderr together, in bytes" }),
    disk: z.exactOptional(quantity).register(docs, { description: "What the tool writes to files, in bytes" }),
    processes: z.exactOptional(quantity).register(docs, { description: "Processes and threads alive at once" }),
  })
  .register(docs, { id: "Resources", description: "Limits as plain numbers in their unit or as quantities" });

const fileNames = ["base64", "text", "digest"] as const;

export const fileSchema = z
  .strictObject({
    base64: z.exactOptional(z.string()).register(docs, { description: "The bytes, RFC 4648 §4" }),
    text: z.exactOptional(z.string()).register(docs, { description: "The bytes as UTF-8 text" }),
    digest: z.exactOptional(digest).register(docs, { description: "A blob that the service has" }),
  })
  .check(z.refine((file) => fileNames.filter((name) => name in file).length === 1, "must have exactly one of base64, text and digest"))
  .register(docs, { id: "File", description: "One input file: exactly one of base64, text and digest" });

// `optional`, not `exactOptional`: the latter tries the inner schema on each absent key, and JSON has no `undefined`.
/** The body of `POST /v1/executions`, and the `task` part of a multipart one. */
export const executionRequestSchema = z
  .strictObject({
    tool: z.string().check(z.minLength(1), z.maxLength(300)).register(docs, { description: '"name", "name@1.2.0" or "name@sha256:…"' }),
    input: z.optional(z.unknown()).register(docs, { description: "Given to the tool as JSON on stdin; default {}" }),
    files: z
      .optional(z.record(z.string(), fileSchema))
      .register(docs, { description: "By path in the tool's working folder; at most 1 MiB together" }),
    env: z.optional(z.record(z.string(), z.union([z.string(), z.strictObject({ secret: z.string() })]))),
    resources: z.optional(resourcesSchema),
    security: z.optional(profile).register(docs, { description: "A floor: the stricter of this and the service's profile holds" }),
    bestEffort: z
      .optional(z.array(limitName))
      .register(docs, { description: "Limits that may go unenforced where the profile does not demand them" }),
    atMost: z
      .optional(z.array(limitName))
      .register(docs, { description: "Limits of `resources` that are ceilings: the service applies the lower of them and its own" }),
    deterministic: z
      .optional(
        z.strictObject({
          seed: z.union([z.number(), z.string()]).register(docs, { description: "What all random bytes come of" }),
          now: z
            .union([z.number(), z.string()])
            .register(docs, { description: "What the clocks show at the start: ms since 1970, or an RFC 3339 time" }),
        }),
      )
      .register(docs, { description: "Fixes clocks, random and scheduling: the same values give the same output and take the same fuel" }),
    deadline: z.optional(quantity).register(docs, { description: 'For everything, queue included: ms from now, or "30s"' }),
  })
  .register(docs, { id: "ExecutionRequest" });

export type ExecutionRequest = z.output<typeof executionRequestSchema>;

export const limitReceiptSchema = z
  .object({
    limit: limitName,
    requested: z.exactOptional(z.number()).register(docs, { description: "Absent where nobody limited it and it was only counted" }),
    applied: z.exactOptional(z.number()).register(docs, { description: "Read back from the enforcer; absent where it could not be read" }),
    unit: z.enum(Object.values(limitUnits)),
    enforcedBy: z.string(),
    source: z.exactOptional(z.string()),
    peak: z.exactOptional(z.number()),
    hit: z.enum(["yes", "no", "unknown"]),
    clampedFrom: z.exactOptional(z.number()),
    note: z.exactOptional(z.string()),
  })
  .register(docs, { id: "LimitReceipt", description: "What really held" });

const perStream = z.object({ stdout: z.boolean(), stderr: z.boolean() });

export const resultSchema = z
  .object({
    id: z.string(),
    output: z.unknown().register(docs, {
      description: "stdout, read as JSON where the tool declares an output schema, as text otherwise; null where it failed",
    }),
    exitCode: z.int().register(docs, { description: "134 for a trap, 128 + n for a signal" }),
    exit: z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("exited"), code: z.int() }),
      z.object({ kind: z.literal("trapped"), trap: z.string() }),
      z.object({ kind: z.literal("signalled"), signal: z.string(), number: z.int() }),
    ]),
    stdout: z.string(),
    stderr: z.string(),
    truncated: perStream.register(docs, { description: "Whether there was more than the capture size" }),
    replaced: perStream.register(docs, { description: "Whether bytes that are no UTF-8 stand as U+FFFD" }),
    duration: z.number().register(docs, { description: "From the tool's start to its end, in ms" }),
    limits: z.array(limitReceiptSchema),
    backend: z.object({
      name: z.string(),
      version: z.exactOptional(z.string()),
      artifact: z.enum(artifactKinds),
      profile,
      isolation: z.string(),
      network: z.enum(["none", "unfiltered"]),
      via: z.exactOptional(z.string()).register(docs, { description: "The node that ran it, where this service sent it on" }),
    }),
    files: z
      .array(z.object({ path: z.string(), digest, size: z.int() }))
      .register(docs, { description: "Fetch each by GET /v1/blobs/{digest}" }),
    brief: z
      .exactOptional(z.boolean())
      .register(docs, { description: "True where output, stdout and stderr are left out, as Prefer: return=minimal asks" }),
  })
  .register(docs, { id: "Result", description: "What a tool that ended by itself has to show, whatever its exit code" });

export type WireResult = z.output<typeof resultSchema>;

/** RFC 9457, with toolruntime's members. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string().register(docs, { description: "The same for each code" }),
    status: z.int(),
    detail: z.string(),
    code: z.custom<ErrorCode>((value) => typeof value === "string").register(docs, { type: "string", examples: ["ERR_INPUT_INVALID"] }),
    actor: z
      .enum(["caller", "operator", "author", "platform"])
      .register(docs, { description: "Who has to act before the same call can succeed" }),
    retryable: z.boolean(),
    started: z.boolean().register(docs, { description: "Whether the tool's code had started to run" }),
    id: z.exactOptional(z.string()).register(docs, { description: "The execution" }),
    backend: z.exactOptional(z.string()),
    details: z.record(z.string(), z.unknown()),
    partial: z
      .exactOptional(z.object({ stdout: z.string(), stderr: z.string(), truncated: perStream, limits: z.array(limitReceiptSchema) }))
      .register(docs, { description: "What the run had produced when it was ended" }),
    requestId: z.string(),
  })
  .register(docs, { id: "Problem" });

export type Problem = z.output<typeof problemSchema>;

const toolName = z.object({ name: z.string(), version: z.string(), digest });
const seq = z.int().check(z.gte(0)).register(docs, { description: "Rises by at least one from event to event" });

export const eventSchema = z
  .discriminatedUnion("type", [
    z.object({ type: z.literal("accepted"), seq, id: z.string(), tool: toolName }),
    z.object({ type: z.literal("started"), seq }),
    z.object({
      type: z.enum(["stdout", "stderr"]),
      seq,
      text: z.exactOptional(z.string()).register(docs, { description: "Where the bytes are UTF-8" }),
      base64: z.exactOptional(z.string()).register(docs, { description: "Where they are not" }),
    }),
    z.object({ type: z.literal("result"), seq, result: resultSchema }),
    z.object({ type: z.literal("error"), seq, problem: problemSchema }),
    z.object({ type: z.literal("end"), seq }).register(docs, { description: "The last one; a stream without it was cut" }),
    z
      .object({ type: z.literal("heartbeat") })
      .register(docs, { description: "Says that the connection lives; NDJSON only, SSE has comments" }),
  ])
  .register(docs, { id: "Event" });

export type WireEvent = z.output<typeof eventSchema>;

export const executionSchema = z
  .object({
    id: z.string(),
    status: z.enum(["accepted", "running", "ended"]),
    tool: toolName,
    createdAt: z.iso.datetime(),
    endedAt: z.exactOptional(z.iso.datetime()),
    result: z.exactOptional(resultSchema),
    problem: z.exactOptional(problemSchema),
  })
  .register(docs, { id: "Execution" });

export type WireExecution = z.output<typeof executionSchema>;

const jsonSchema = z.union([z.record(z.string(), z.unknown()), z.boolean()]);

export const toolSchema = z
  .object({
    name: z.string(),
    title: z.exactOptional(z.string()),
    version: z.string(),
    description: z.string(),
    digest,
    artifacts: z.array(z.enum(artifactKinds)),
    inputSchema: jsonSchema,
    outputSchema: z.exactOptional(jsonSchema),
    annotations: z.exactOptional(z.record(z.string(), z.unknown())),
    resources: z.exactOptional(z.record(z.string(), z.unknown())),
    permissions: z.exactOptional(z.record(z.string(), z.unknown())),
    examples: z.exactOptional(z.array(z.record(z.string(), z.unknown()))),
  })
  .register(docs, { id: "Tool" });

export type WireTool = z.output<typeof toolSchema>;

export const toolListSchema = z.object({ tools: z.array(toolSchema) }).register(docs, { id: "ToolList" });

export const backendSchema = z
  .object({
    backend: z.string(),
    security: profile,
    status: z.enum(["ready", "unavailable"]),
    version: z.exactOptional(z.string()),
    reason: z.exactOptional(z.string()),
    advice: z.exactOptional(z.string()),
    capabilities: z.array(
      z.object({
        artifact: z.enum(artifactKinds),
        profiles: z.array(profile),
        isolation: z.string(),
        network: z.enum(["none", "unfiltered"]),
        deterministic: z.exactOptional(z.boolean()),
        limits: z.record(z.string(), z.object({ by: z.string(), min: z.exactOptional(z.number()), max: z.exactOptional(z.number()) })),
      }),
    ),
    notes: z.exactOptional(z.array(z.string())),
    validForMs: z.number(),
  })
  .register(docs, { id: "Backend" });

/** The body of `POST /v1/executions/{id}/ack`. */
export const ackRequestSchema = z
  .strictObject({ bytes: z.int().check(z.gte(0)).register(docs, { description: "Of stdout and stderr, since the start" }) })
  .register(docs, { id: "AckRequest", description: "How much of a run's output its reader has taken" });

export const ackSchema = z
  .object({ id: z.string(), live: z.boolean().register(docs, { description: "Whether the run goes on" }) })
  .register(docs, { id: "Ack" });

export const hostSchema = z
  .object({ name: z.string(), arch: z.string(), os: z.string() })
  .register(docs, { id: "Host", description: "The machine behind the service: processor and system as Node.js names them" });

export type WireHost = z.output<typeof hostSchema>;

export const backendListSchema = z
  .object({
    security: profile,
    backends: z.array(backendSchema),
    node: z.exactOptional(hostSchema),
    instance: z.exactOptional(z.string()).register(docs, { description: "Of this process; what is kept in memory is forgotten with it" }),
    features: z
      .exactOptional(z.array(z.string()))
      .register(docs, { description: "What it knows besides the first version of the protocol" }),
  })
  .register(docs, { id: "BackendList" });
export type WireBackendList = z.output<typeof backendListSchema>;

const count = z.int().check(z.gte(0));
export const loadSchema = z
  .object({
    backend: z.string(),
    running: count,
    capacity: z.exactOptional(count).register(docs, { description: "Runs at once; absent where nothing bounds them" }),
    queued: count,
    queue: z.exactOptional(count).register(docs, { description: "The most that may wait; absent where nothing bounds them" }),
  })
  .register(docs, { id: "Load" });
export const capacitySchema = z.object({ draining: z.boolean(), backends: z.array(loadSchema) }).register(docs, { id: "Capacity" });
export type WireCapacity = z.output<typeof capacitySchema>;

export const leaseRequestSchema = z
  .strictObject({
    ttlMs: z
      .int()
      .check(z.gte(1000), z.lte(60_000))
      .register(docs, { description: "From now on; without another renewal its runs are ended then" }),
  })
  .register(docs, { id: "LeaseRequest" });
export const leaseSchema = z
  .object({ id: z.string(), ttlMs: z.int(), executions: count.register(docs, { description: "Runs under it" }) })
  .register(docs, { id: "Lease" });

export const blobSchema = z.object({ digest, size: z.int() }).register(docs, { id: "Blob" });
export const eventListSchema = z.object({ events: z.array(eventSchema) }).register(docs, { id: "EventList" });
export const healthSchema = z.object({ status: z.enum(["ok", "draining", "unavailable"]) }).register(docs, { id: "Health" });
