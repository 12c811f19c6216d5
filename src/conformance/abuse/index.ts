export { AbuseBench } from "./bench.ts";
export type { AbuseOptions, Attacker, AttackSettings, Ended } from "./bench.ts";
export type { AbuseCase, AbuseFacts, Holds, Outcome } from "./case.ts";
export { nativeCases } from "./native/index.ts";
export { abuseSuite, findAbuseFacts, notHeld, runAbuseCase } from "./suite.ts";
