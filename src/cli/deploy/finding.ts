/** What one check came to. `problem`: the deployed worker would not work, or not safely. */
export interface Finding {
  readonly status: "ok" | "advice" | "problem";
  /** What was looked at: `compatibility_date`, `ARTIFACTS`. */
  readonly check: string;
  /** Absent where it holds for all. */
  readonly environment?: string;
  readonly says: string;
  /** A command to run, or what to change. */
  readonly next?: string;
}

interface Said {
  readonly check: string;
  readonly says: string;
  readonly next?: string;
}

export function ok(check: string, says: string): Finding {
  return { status: "ok", check, says };
}

export function advice(said: Said): Finding {
  return { status: "advice", ...said };
}

export function problem(said: Said): Finding {
  return { status: "problem", ...said };
}
