import * as z from "zod/mini";
import { parseJson } from "../../internal/json.ts";
import { decodeBase64Url } from "../../internal/base64.ts";
import { digestPattern, keyIdPattern, maxTokenLength, namePattern, signingAlgorithms, tokenType } from "./format.ts";

/** Why a token is refused: for the log of the service, never for the caller. */
export class Denial extends Error {
  override readonly name = "Denial";
}

/** Nothing else is understood, so nothing else may be there: no `crit`, no key or address of one that the token brings along. */
const headerSchema = z.strictObject({
  alg: z.enum(signingAlgorithms),
  kid: z.string().check(z.regex(keyIdPattern)),
  typ: z.literal(tokenType),
});

const name = z.string().check(z.regex(namePattern));
const seconds = z.int().check(z.nonnegative());
const digest = z.string().check(z.regex(digestPattern));

const claimsSchema = z.object({
  iss: name,
  sub: name,
  tenant: name,
  scope: z.string().check(z.regex(/^[a-z]{1,32}(?: [a-z]{1,32}){0,31}$/)),
  aud: name,
  iat: seconds,
  exp: seconds,
  nbf: z.optional(seconds),
  jti: z.string().check(z.regex(/^[A-Za-z0-9_-]{16,128}$/)),
  htm: z.string().check(z.maxLength(20)),
  htu: z.string().check(z.maxLength(maxTokenLength)),
  bd: digest,
  cnf: z.optional(z.strictObject({ "x5t#S256": digest })),
});

export type Claims = z.infer<typeof claimsSchema>;

export interface ReadToken {
  readonly token: string;
  readonly header: z.infer<typeof headerSchema>;
  /** What the token says of itself; nobody has checked the signature yet. */
  readonly claims: Claims;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** RFC 6750 §2.1 and RFC 7515 §3.1. */
const bearerPattern = /^bearer +([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/i;

/** Nothing where the header is not of a token in three parts; such a one may be of another kind. @throws Denial. */
export function readToken(authorization: string | undefined): ReadToken | undefined {
  const [, head, body, signature] = bearerPattern.exec(authorization ?? "") ?? [];
  if (authorization === undefined || head === undefined || body === undefined || signature === undefined) return undefined;
  if (authorization.length > maxTokenLength) throw new Denial("size");
  // One text for the same bytes: a signature with other bits left over would be the same token under another spelling.
  if (decodeBase64Url(signature)?.length !== 64) throw new Denial("signature");
  const header = headerSchema.safeParse(jsonOf(head));
  if (!header.success) throw new Denial(`header ${firstPath(header.error)}`.trimEnd());
  const claims = claimsSchema.safeParse(jsonOf(body));
  if (!claims.success) throw new Denial(`claim ${firstPath(claims.error)}`.trimEnd());
  return { token: `${head}.${body}.${signature}`, header: header.data, claims: claims.data };
}

/** A member that stands twice is refused: two readers would disagree about it. */
function jsonOf(part: string): unknown {
  const bytes = decodeBase64Url(part);
  if (bytes === undefined) throw new Denial("encoding");
  let text: string;
  try {
    text = strict.decode(bytes);
  } catch {
    throw new Denial("encoding");
  }
  const parsed = parseJson(text, { refusesPrototypeKeys: true });
  if ("problem" in parsed) throw new Denial("json");
  return parsed.value;
}

/** The names are those of the schema: what the token calls its members stays out of the log. */
function firstPath({ issues }: z.core.$ZodError): string {
  const [step] = issues[0]?.path ?? [];
  return step === undefined ? "" : String(step);
}
