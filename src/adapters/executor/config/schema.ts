import { z } from "zod";
import { securityProfiles } from "../../../profile.ts";
import { resourcesSchema } from "../../../wire.ts";
import { backendsSchema } from "./backends.ts";
import { bytes, ms } from "./quantities.ts";
import { tokenSchema } from "./tokens.ts";

const concurrencySchema = z.strictObject({ running: z.int().positive(), queued: z.int().min(0) });

export const configSchema = z.strictObject({
  $schema: z.string().exactOptional(),
  host: z.string().min(1).default("127.0.0.1"),
  port: z.int().min(0).max(65_535).default(8787),
  security: z.enum(securityProfiles).default("standard"),
  backends: backendsSchema,
  tools: z.string().min(1).exactOptional().describe("The folder of tools"),
  watch: z.boolean().exactOptional().describe("Follow changes of the tools on disk"),
  tokens: z.array(tokenSchema).default([]),
  hosts: z
    .union([z.literal("any"), z.array(z.string().min(1))])
    .exactOptional()
    .describe("Values of Host that are answered, without a port"),
  origins: z.array(z.url()).default([]).describe("Other sites whose pages may call the service"),
  resources: z.exactOptional(resourcesSchema).describe("Limits for tasks that name none"),
  maxima: z.exactOptional(resourcesSchema).describe("The most that a task may ask for"),
  allowsBestEffort: z.boolean().default(true),
  concurrency: concurrencySchema.prefault({ running: 64, queued: 512 }),
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
  graceMs: z.int().min(0).default(10_000).describe("How long running work may go on after SIGTERM"),
  audit: z
    .strictObject({ file: z.string().min(1) })
    .exactOptional()
    .describe("Where the audit log is written, one JSON record a line"),
  log: z.strictObject({ level: z.enum(["debug", "info", "warn", "error", "silent"]).default("info") }).prefault({}),
});

export type ServiceConfigInput = z.input<typeof configSchema>;
export type ServiceConfig = z.output<typeof configSchema>;
