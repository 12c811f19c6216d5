import * as z from "zod/mini";
import { problemSchema, resultSchema } from "../../wire.ts";

/** What `/v1/batches` answers. Apart from the request: a service writes these by itself, and reads none. */

const docs = z.globalRegistry;
/** A schema has one description: each place gets its own. */
const count = () => z.int().check(z.gte(0));

export const countsSchema = z
  .object({
    read: count().register(docs, { description: "Inputs read so far" }),
    running: count(),
    results: count(),
    errors: count(),
    failed: count().register(docs, { description: "Errors, and results with another exit code than 0" }),
    kept: count().register(docs, { description: "Answers that an earlier sending had brought about" }),
    fuel: z.number(),
  })
  .register(docs, { id: "BatchCounts" });

export type BatchCounts = z.output<typeof countsSchema>;

export const batchEndSchema = z.object({
  state: z.enum(["done", "exhausted", "cancelled", "failed"]),
  budget: z.exactOptional(z.enum(["timeout", "fuel", "failures"])),
  counts: countsSchema,
  problem: z.exactOptional(problemSchema),
});

export type BatchEnd = z.output<typeof batchEndSchema>;

const seq = count();
const toolName = z.object({ name: z.string(), version: z.string(), digest: z.string() });

export const batchEventSchema = z
  .discriminatedUnion("type", [
    z.object({ type: z.literal("accepted"), seq, id: z.string(), tool: toolName }),
    z.object({
      type: z.literal("item"),
      seq,
      index: count(),
      id: z.exactOptional(z.string()).register(docs, { description: "The execution" }),
      kept: z.exactOptional(z.boolean()),
      result: z.exactOptional(resultSchema),
      problem: z.exactOptional(problemSchema),
    }),
    z.object({ type: z.literal("progress"), counts: countsSchema }),
    z.object({ type: z.literal("end"), seq, ...batchEndSchema.shape }),
    z.object({ type: z.literal("heartbeat") }),
  ])
  .register(docs, { id: "BatchEvent", description: "Each input has exactly one item, with result or problem" });

export type BatchEvent = z.output<typeof batchEventSchema>;

export const batchSchema = z
  .object({
    id: z.string(),
    status: z.enum(["running", "ended"]),
    tool: toolName,
    createdAt: z.string(),
    endedAt: z.exactOptional(z.string()),
    counts: z.exactOptional(countsSchema).register(docs, { description: "Absent where another process runs it" }),
    end: z.exactOptional(batchEndSchema),
    problem: z.exactOptional(problemSchema).register(docs, { description: "The process that ran it is gone" }),
  })
  .register(docs, { id: "Batch" });
