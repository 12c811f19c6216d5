export type { AbuseOptions, Attacker } from "./bench.ts";
export type { AbuseCase, AbuseFacts, Outcome } from "./case.ts";
export { nativeCases } from "./native/index.ts";
export { abuseSuite, findAbuseFacts, notHeld, runAbuseCase } from "./suite.ts";
