export const mediaTypes = {
  json: "application/json",
  problem: "application/problem+json",
  ndjson: "application/x-ndjson",
  sse: "text/event-stream",
  multipart: "multipart/form-data",
} as const;

export const wireHeaders = {
  requestId: "x-request-id",
  /** Whole milliseconds from the receipt of the request; relative, so that clocks may differ. */
  deadline: "toolruntime-deadline",
  /** draft-ietf-httpapi-idempotency-key-header. */
  idempotencyKey: "idempotency-key",
  traceparent: "traceparent",
} as const;
