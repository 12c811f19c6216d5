import type { AbuseCase } from "../case.ts";
import { dataCases } from "./data.ts";
import { hostCases } from "./host.ts";
import { timeCases } from "./time.ts";

/** The rows of the corpus for backends that run native code: groups A, C and D, and B13. */
export const nativeCases: readonly AbuseCase[] = [...timeCases, ...dataCases, ...hostCases];
