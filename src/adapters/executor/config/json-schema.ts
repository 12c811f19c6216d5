import { z } from "zod";
import { configSchema } from "./schema.ts";

/** The JSON Schema (draft 2020-12) of what a configuration file may have, for editors and for those who generate one. */
export function configJsonSchema(): object {
  return { title: "The configuration of a toolruntime service", ...z.toJSONSchema(configSchema, { io: "input" }) };
}
