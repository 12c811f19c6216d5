export { createApp } from "./app.ts";
export { anyone, bearerTokens, scopes } from "./auth.ts";
export type { Authenticator, BearerToken, Identity, Scope } from "./auth.ts";
export type { AppOptions, Log, Metrics, Mount, ServiceLimits, ServiceState } from "./options.ts";
export { problemOf, replyProblem } from "./reply.ts";
export { statusOf } from "./status.ts";
