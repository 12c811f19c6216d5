import type { Outcome } from "../store.ts";
import type { Settings } from "./options.ts";
import type { AnswerFormat, Preference } from "./preference.ts";
import type { Runner, RunRequest } from "./runner.ts";
import type { AppContext } from "./scope.ts";

/** A run that was asked for, and the way in which it is to be answered. */
export interface Answer {
  readonly c: AppContext;
  readonly runner: Runner;
  readonly settings: Settings;
  readonly request: RunRequest;
  readonly preference: Preference;
  readonly format: AnswerFormat;
  /** Told how the run ended, whoever still waits for the answer. */
  readonly onOutcome?: (outcome: Outcome) => void | Promise<void>;
}
