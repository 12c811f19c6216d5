import type { ConformanceCase } from "../case.ts";
import { abortCases } from "./abort.ts";
import { concurrencyCases } from "./concurrency.ts";
import { determinismCases } from "./determinism.ts";
import { envCases } from "./env.ts";
import { eventCases } from "./events.ts";
import { fileCases } from "./files.ts";
import { isolationCases } from "./isolation.ts";
import { lifecycleCases } from "./lifecycle.ts";
import { limitCases } from "./limits.ts";
import { negotiationCases } from "./negotiation.ts";
import { resourceCases } from "./resources.ts";
import { resultCases } from "./results.ts";
import { schemaCases } from "./schemas.ts";
import { stdinCases } from "./stdin.ts";
import { streamCases } from "./streams.ts";

/** Every case, in the order in which a new backend does well to make them pass. No case depends on another one. */
export const conformanceCases: readonly ConformanceCase[] = [
  ...resultCases,
  ...stdinCases,
  ...streamCases,
  ...schemaCases,
  ...fileCases,
  ...envCases,
  ...eventCases,
  ...abortCases,
  ...limitCases,
  ...resourceCases,
  ...determinismCases,
  ...negotiationCases,
  ...concurrencyCases,
  ...isolationCases,
  ...lifecycleCases,
];
