import { readFile } from "node:fs/promises";
import { z } from "zod";
import { scopes, type BearerToken } from "../../../edge/index.ts";
import { configError, reasonOf } from "./errors.ts";
import type { ServiceConfig } from "./schema.ts";

export const tokenSchema = z
  .strictObject({
    token: z.string().exactOptional().describe("The token itself; better one of the other two"),
    file: z.string().min(1).exactOptional().describe("A file that holds the token and nothing else"),
    env: z.string().min(1).exactOptional().describe("The environment variable that holds it"),
    principal: z.string().min(1).max(200),
    tenant: z.string().min(1).max(200).default("default"),
    scopes: z.array(z.enum(scopes)).min(1).exactOptional(),
  })
  .refine((token) => ["token", "file", "env"].filter((key) => key in token).length === 1, "must have exactly one of token, file and env");

/** RFC 6750 §2.1, and long enough not to be guessed. */
const tokenPattern = /^[A-Za-z0-9._~+/-]{16,}=*$/;

/** Gets the tokens from where the configuration says that they are. @throws `ERR_CONFIG_INVALID`. */
export async function resolveTokens(
  tokens: ServiceConfig["tokens"],
  env: Readonly<Record<string, string | undefined>>,
): Promise<BearerToken[]> {
  return Promise.all(
    tokens.map(async ({ token, file, env: variable, principal, tenant, scopes: some }, index) => {
      const source = `tokens[${index}]`;
      const value = token ?? (variable === undefined ? await readToken(file ?? "", source) : env[variable]);
      if (value === undefined) throw configError(source, `the environment variable "${variable}" is not set`);
      if (!tokenPattern.test(value)) {
        throw configError(source, "a token is at least 16 characters, letters, digits and . _ ~ + / - (openssl rand -hex 32 makes one)");
      }
      return { token: value, principal, tenant, ...(some === undefined ? {} : { scopes: some }) };
    }),
  );
}

async function readToken(file: string, source: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    throw configError(source, `the file ${JSON.stringify(file)} cannot be read: ${reasonOf(error)}`, error);
  }
}
