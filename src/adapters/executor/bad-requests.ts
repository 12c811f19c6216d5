import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { ErrorCode } from "../../errors.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { problemOf, replyProblem } from "../../edge/index.ts";
import { mediaTypes, wireHeaders } from "../../wire.ts";

/** What Node's parser says of a request that it gives up on; anything else is 400. */
const parserErrors: Readonly<Record<string, { readonly status: number; readonly code: ErrorCode; readonly why: string }>> = {
  HPE_HEADER_OVERFLOW: { status: 431, code: "ERR_INPUT_TOO_LARGE", why: "its head is too large" },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: { status: 413, code: "ERR_INPUT_TOO_LARGE", why: "its chunk extensions are too large" },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: "ERR_ABORTED", why: "it did not arrive in time" },
};
const malformed = { status: 400, code: "ERR_ARGUMENT_INVALID", why: "it is not HTTP as RFC 9112 has it" } as const;

function problemText(status: number, code: ErrorCode, why: string): { readonly requestId: string; readonly json: string } {
  const requestId = crypto.randomUUID();
  const problem = problemOf(new ToolRuntimeError(code, `Cannot read the request: ${why}`), requestId);
  return { requestId, json: JSON.stringify({ ...problem, status }) };
}

/** Whether an answer on this connection has begun, into which another one must not be written. */
function isAnswering(socket: Duplex): boolean {
  const message: unknown = "_httpMessage" in socket ? socket._httpMessage : undefined;
  return typeof message === "object" && message !== null && "headersSent" in message && message.headersSent === true;
}

function endWith(socket: Duplex, status: number, code: ErrorCode, why: string, extra = ""): void {
  if (!socket.writable || isAnswering(socket)) {
    socket.destroy();
    return;
  }
  const { requestId, json } = problemText(status, code, why);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "Connection: close",
    `Content-Type: ${mediaTypes.problem}`,
    `Content-Length: ${Buffer.byteLength(json)}`,
    `${wireHeaders.requestId}: ${requestId}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n${extra}\r\n${json}`);
}

/** Answers with a problem document what never becomes a request that the app sees. */
export function answerBadRequests(server: Server): void {
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    const { status, code, why } = parserErrors[error.code ?? ""] ?? malformed;
    endWith(socket, status, code, why);
  });
  // Whoever does not get through TLS's handshake can be told nothing, and would be waited for.
  server.on("tlsClientError", (_error: Error, socket: Duplex) => socket.destroy());
  server.on("connect", (_request: IncomingMessage, socket: Duplex) => {
    endWith(socket, 405, "ERR_METHOD_NOT_ALLOWED", "this is no proxy", "Allow: GET, HEAD, POST, DELETE\r\n");
  });
  server.on("checkExpectation", (_request: IncomingMessage, response: ServerResponse) => {
    const { requestId, json } = problemText(417, "ERR_ARGUMENT_INVALID", "it expects what this service does not know");
    const head = { "content-type": mediaTypes.problem, "content-length": Buffer.byteLength(json), connection: "close" };
    response.writeHead(417, { ...head, [wireHeaders.requestId]: requestId }).end(json);
  });
}

/** For a target or a Host that is no URL. */
export function malformedTarget(): Response {
  const error = new ToolRuntimeError("ERR_ARGUMENT_INVALID", "Cannot read the request: its target or its Host is malformed");
  return replyProblem(crypto.randomUUID(), error);
}
