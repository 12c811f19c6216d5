import type { ExecutionInfo, ExecutionState, Outcome, StoredEvent } from "../../store.ts";
import type { KeyClaim, KeyRequest } from "../kept-executions.ts";
import type { SpendRequest } from "./spent-tokens.ts";

/** What an isolate asks the object of a tenant: one POST each, to the path of this name, JSON in and out. */
export interface Operations {
  readonly create: { readonly ask: { readonly info: ExecutionInfo }; readonly answer: Done };
  readonly renew: { readonly ask: Named; readonly answer: Renewed };
  readonly start: { readonly ask: Named; readonly answer: Done };
  readonly add: { readonly ask: Named & { readonly events: readonly StoredEvent[] }; readonly answer: Done };
  readonly end: { readonly ask: Named & { readonly outcome: Outcome }; readonly answer: Done };
  readonly cancel: { readonly ask: Named; readonly answer: Done };
  readonly get: { readonly ask: Named; readonly answer: { readonly state?: ExecutionState } };
  /** The kept events after a number; with `waits`, once there are any or it has ended. */
  readonly events: { readonly ask: Named & { readonly after: number; readonly waits: boolean }; readonly answer: Events };
  readonly claim: { readonly ask: KeyRequest; readonly answer: KeyClaim };
  readonly settle: { readonly ask: { readonly key: string; readonly outcome: Outcome; readonly keeps: boolean }; readonly answer: Done };
  readonly wait: { readonly ask: { readonly key: string; readonly executionId: string }; readonly answer: Waited };
  readonly grant: { readonly ask: { readonly digest: string }; readonly answer: Done };
  /** Of an object that keeps used tokens. */
  readonly spend: { readonly ask: SpendRequest; readonly answer: { readonly spending: "first" | "seen" | "full" } };
  readonly granted: { readonly ask: { readonly digest: string }; readonly answer: { readonly isGranted: boolean } };
}

export type Operation = keyof Operations;

type Done = Record<never, never>;

interface Named {
  readonly id: string;
}

export interface Renewed {
  /** Not so where it has ended or was given up: whoever runs it must end it. */
  readonly isLive: boolean;
  readonly isCancelled: boolean;
}

export interface Events {
  readonly events: readonly StoredEvent[];
  /** Whether no more will come. */
  readonly isOver: boolean;
}

export interface Waited {
  /** Absent where nobody remembers how it ended. */
  readonly outcome?: Outcome;
}
