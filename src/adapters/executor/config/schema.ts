import { z } from "zod";
import { securityProfiles } from "../../../profile.ts";
import { resourcesSchema } from "../../../wire.ts";
import { backendsSchema } from "./backends.ts";
import { acceptsToolsSchema, blobsSchema } from "./files.ts";
import { bytes, ms } from "./quantities.ts";
import { announceSchema } from "./remote.ts";
import { tenantsSchema } from "./tenants.ts";
import { tokenSchema } from "./tokens.ts";
import { keysSchema, tlsSchema } from "./trust.ts";

const stateSchema = z.strictObject({
  folder: z.string().min(1).describe("Made where it is not there; for this service alone"),
  maxExecutions: z.int().positive().default(10_000).describe("Executions remembered; those that ended longest ago go first"),
  maxCharacters: z
    .int()
    .positive()
    .default(256 * 2 ** 20)
    .describe("Their answers and events; as much again for those of keys"),
  keepMs: ms.default(86_400_000).describe("How long an execution is remembered after its end"),
  maxIdempotencyKeys: z.int().positive().default(100_000),
  idempotencyMs: ms.default(86_400_000).describe("How long a key stands for its answer"),
  maxBlobGrants: z.int().positive().default(100_000).describe("Of how many blobs it is remembered who may read them"),
  maxAuditRecords: z.int().positive().default(1_000_000),
  synchronous: z.enum(["normal", "full"]).default("normal").describe("full: what is kept outlives a loss of power too"),
});

const concurrencySchema = z.strictObject({ running: z.int().positive(), queued: z.int().min(0) });

export const configSchema = z.strictObject({
  $schema: z.string().exactOptional(),
  name: z
    .string()
    .regex(/^[A-Za-z0-9._:-]{1,200}$/, "must be 1 to 200 letters, digits and . _ : -")
    .exactOptional()
    .describe("What the node is called, for those who ask it and in receipts; default: the machine's name"),
  host: z.string().min(1).default("127.0.0.1"),
  port: z.int().min(0).max(65_535).default(8787),
  security: z.enum(securityProfiles).default("standard"),
  backends: backendsSchema,
  tools: z.string().min(1).exactOptional().describe("The folder of tools"),
  watch: z.boolean().exactOptional().describe("Follow changes of the tools on disk"),
  tokens: z.array(tokenSchema).default([]),
  keys: keysSchema.exactOptional().describe("Who may sign tokens for single requests"),
  tls: tlsSchema.exactOptional(),
  hosts: z
    .union([z.literal("any"), z.array(z.string().min(1))])
    .exactOptional()
    .describe("Values of Host that are answered, without a port"),
  origins: z.array(z.url()).default([]).describe("Other sites whose pages may call the service"),
  resources: z.exactOptional(resourcesSchema).describe("Limits for tasks that name none"),
  maxima: z.exactOptional(resourcesSchema).describe("The most that a task may ask for"),
  allowsBestEffort: z.boolean().default(true),
  concurrency: concurrencySchema.prefault({ running: 64, queued: 512 }),
  tenants: tenantsSchema,
  limits: z
    .strictObject({
      maxJsonBytes: bytes.exactOptional(),
      maxInlineFileBytes: bytes.exactOptional(),
      maxUploadBytes: bytes.exactOptional(),
      maxFiles: z.int().positive().exactOptional(),
      maxExecutions: z.int().positive().exactOptional(),
      maxConnections: z.int().positive().default(4096),
      requestMs: ms.exactOptional().describe("For a request's head and body to arrive; default by profile 30, 10 and 5 s"),
      stalledReaderMs: ms.exactOptional().describe("For a reader to take what is ready for it; default by profile 30, 10 and 5 s"),
    })
    .prefault({}),
  announce: announceSchema.exactOptional().describe("Says to an edge that this node is there, until it drains"),
  graceMs: z.int().min(0).default(10_000).describe("How long running work may go on after SIGTERM"),
  reaper: z
    .boolean()
    .default(true)
    .describe("A small process that outlives a kill of the service, and removes what its backends have left"),
  audit: z
    .strictObject({ file: z.string().min(1) })
    .exactOptional()
    .describe("Where the audit log is written, one JSON record a line"),
  state: stateSchema.exactOptional().describe("Keeps executions, answers, idempotency keys and the audit log over restarts"),
  blobs: blobsSchema.exactOptional().describe("Files of tasks and tools; default: in the folder of the state, or in memory"),
  acceptsTools: acceptsToolsSchema.exactOptional(),
  log: z.strictObject({ level: z.enum(["debug", "info", "warn", "error", "silent"]).default("info") }).prefault({}),
});

export type ServiceConfigInput = z.input<typeof configSchema>;
export type ServiceConfig = z.output<typeof configSchema>;
