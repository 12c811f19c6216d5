import * as z from "zod/mini";
import { executionRequestSchema } from "../../wire.ts";

const docs = z.globalRegistry;
const quantity = () => z.optional(z.union([z.number(), z.string()]));
const count = () => z.int().check(z.gte(0));

/** The most runs at once that a batch may ask for. */
export const maxConcurrency = 256;

export const budgetSchema = z
  .strictObject({
    timeout: quantity().register(docs, { description: 'Wall time: ms, or "10m"' }),
    fuel: quantity().register(docs, { description: "The sum over all runs" }),
    failures: z.optional(z.int().check(z.gte(1))).register(docs, { description: "Errors, and results with another exit code than 0" }),
  })
  .register(docs, { id: "BatchBudget", description: "One for the whole batch" });

const { tool, env, resources, security, bestEffort, deterministic, deadline } = executionRequestSchema.shape;

/** What each run of a batch has in common; the body of `POST /v1/batches` with `inputs`, the first line of an NDJSON one without. */
export const batchRequestSchema = z
  .strictObject({
    tool,
    env,
    resources,
    security,
    bestEffort,
    deterministic,
    deadline,
    inputs: z.optional(z.array(z.unknown())).register(docs, { description: "In NDJSON each further line is one" }),
    as: z.optional(z.enum(["inputs", "items"])).register(docs, {
      description: '"inputs" (default): each is an input of the tool. "items": each is an object with "input" and "files"',
    }),
    first: z.optional(count()).register(docs, { description: "The index of the first input; default 0" }),
    indexes: z
      .optional(z.array(count()))
      .register(docs, { description: 'The index of each input, where they do not follow one another from "first"' }),
    concurrency: z
      .optional(z.int().check(z.gte(1), z.lte(maxConcurrency)))
      .register(docs, { description: "How many run at once; default 8" }),
    ordered: z.optional(z.boolean()).register(docs, { description: "Items in the order of the inputs; default: as they are ready" }),
    retries: z
      .optional(count().check(z.lte(10)))
      .register(docs, { description: "How often an input is tried again whose error advises it; default 3" }),
    budget: z.optional(budgetSchema),
  })
  .register(docs, { id: "BatchRequest" });

export type BatchRequest = z.output<typeof batchRequestSchema>;

/** The index in the whole batch of an input that was sent. */
export function indexIn({ first = 0, indexes }: BatchRequest, position: number): number {
  return indexes?.[position] ?? first + position;
}
