import { ToolRuntimeError } from "../errors.ts";
import type { ByteRange } from "../store.ts";
import { cappedBody } from "./body.ts";
import type { Settings } from "./options.ts";
import { headersOf, replyJson } from "./reply.ts";
import { identify, type AppContext } from "./scope.ts";

type Handler = (c: AppContext) => Promise<Response>;

/** `POST /v1/blobs`: the body as it is. It goes into the store as it comes. */
export function putBlob(settings: Settings): Handler {
  return async (c) => {
    const { tenant } = await identify(c, settings, "run");
    const body = cappedBody(c, settings.limits.maxUploadBytes);
    const blob = await settings.blobs.put(body);
    await settings.executions.grantBlob(tenant, blob.digest);
    return replyJson(c.get("scope").requestId, 201, JSON.stringify(blob), { location: `/v1/blobs/${blob.digest}` });
  };
}

/** `GET` and `HEAD` of `/v1/blobs/{digest}`: the bytes, or one range of them (RFC 9110 §14). */
export function getBlob(settings: Settings): Handler {
  return async (c) => {
    const { tenant } = await identify(c, settings, "read");
    const digest = c.req.param("digest") ?? "";
    const mayRead = await settings.executions.mayReadBlob(tenant, digest);
    const blob = mayRead ? await settings.blobs.open(digest) : undefined;
    if (blob === undefined) {
      throw new ToolRuntimeError(
        "ERR_BLOB_NOT_FOUND",
        `Cannot find the blob ${JSON.stringify(digest.slice(0, 100))}: there is none, or it is forgotten`,
      );
    }
    try {
      const { size } = blob;
      const etag = `"${digest}"`;
      const reply = (status: number, body: ReadableStream<Uint8Array> | null, extra: Readonly<Record<string, string>>): Response => {
        // A tool made it: a browser must save it and never show it as a page of this origin.
        const own = { "content-disposition": "attachment", "accept-ranges": "bytes", etag, ...extra };
        return new Response(body, { status, headers: headersOf(c.get("scope").requestId, "application/octet-stream", own) });
      };
      const range = rangeOf(c, size, etag);
      if (range === "outside") return reply(416, null, { "content-range": `bytes */${size}`, "content-length": "0" });
      const { start, end } = range ?? { start: 0, end: size };
      const length = { "content-length": String(end - start) };
      const body = c.req.method === "HEAD" ? null : blob.stream({ start, end });
      if (range === undefined) return reply(200, body, length);
      return reply(206, body, { ...length, "content-range": `bytes ${start}-${end - 1}/${size}` });
    } finally {
      // A stream that is being read holds it by itself.
      blob.close();
    }
  };
}

/** The one range that is asked for; of several, or one that cannot be read, all is sent, as the RFC allows. */
function rangeOf(c: AppContext, size: number, etag: string): ByteRange | "outside" | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(c.req.header("range")?.trim() ?? "");
  const condition = c.req.header("if-range");
  if (match === null || c.req.method !== "GET" || (condition !== undefined && condition !== etag)) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  // The last so many bytes.
  if (first === "") return last === "0" || size === 0 ? "outside" : { start: Math.max(0, size - Number(last)), end: size };
  const start = Number(first);
  if (last !== "" && Number(last) < start) return undefined;
  return start >= size ? "outside" : { start, end: last === "" ? size : Math.min(size, Number(last) + 1) };
}
