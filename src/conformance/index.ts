export { ConformanceFailure } from "./assert.ts";
export type { ConformanceOptions, OpenOptions, Trace } from "./bench.ts";
export { conformanceCases } from "./cases/index.ts";
export type { ConformanceCase, Facts, Requirement } from "./case.ts";
export { defineProbe } from "./probe.ts";
export type { Guests, ProbeAction, ProbeManifest } from "./probe.ts";
export { conformanceSuite, runConformance } from "./suite.ts";
export type { TestRunner, Verdict, VerdictOptions } from "./suite.ts";
