import { wrongDeterminism } from "./determinism.ts";
import { wrongEndings } from "./ending.ts";
import { wrongEvents } from "./events.ts";
import { wrongFilesAndEnv } from "./files-and-env.ts";
import { wrongFuel } from "./fuel.ts";
import { wrongLimits } from "./limits.ts";
import { wrongMemory } from "./memory.ts";
import { wrongStreams } from "./streams.ts";
import type { WrongRuntime } from "./wrap.ts";

export type { WrongRuntime } from "./wrap.ts";

export const wrongRuntimes: readonly WrongRuntime[] = [
  ...wrongStreams,
  ...wrongEvents,
  ...wrongFilesAndEnv,
  ...wrongEndings,
  ...wrongLimits,
  ...wrongFuel,
  ...wrongDeterminism,
  ...wrongMemory,
];
