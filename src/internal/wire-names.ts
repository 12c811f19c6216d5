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
  /** RFC 9651: `running=3, capacity=8, queued=0, queue=64`, of all backends together. */
  load: "toolruntime-load",
  /** From a 429: the caller for whom a place is kept when he comes again. */
  ticket: "toolruntime-ticket",
  /** The lease under which a caller keeps what it has running: 1 to 64 of [A-Za-z0-9_-]. */
  lease: "toolruntime-lease",
  /** The process that is asked once more, so that no other one takes the question for a new one. */
  instance: "toolruntime-instance",
  /** Bytes of output that may be on their way to a reader who has not acknowledged them. */
  window: "toolruntime-window",
} as const;

/** What a service knows besides the first version of the protocol, so that nobody sends it what it would refuse. */
export const wireFeatures = ["at-most", "window", "brief"] as const;
