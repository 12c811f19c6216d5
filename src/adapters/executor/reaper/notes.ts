import { appendFileSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

/** What a reaper removed in one backend. */
export interface ReapNote {
  readonly backend: string;
  /** The first of what was removed. */
  readonly removed: readonly string[];
  readonly count: number;
}

const noteSchema = z.object({ backend: z.string(), removed: z.array(z.string()), count: z.int().positive() });

function fileIn(folder: string): string {
  return join(folder, "reaped.jsonl");
}

/** Leaves a note for the next start, whose audit log it belongs in: nobody else may write to that of a service that is gone. */
export function leaveNote(folder: string, note: ReapNote): void {
  try {
    appendFileSync(fileIn(folder), `${JSON.stringify(note)}\n`, { mode: 0o600 });
  } catch {
    // The folder of state is gone, or its disk is full; what is removed is removed.
  }
}

/** Takes the notes that were left. */
export function takeNotes(folder: string): ReapNote[] {
  const taken = `${fileIn(folder)}.taken`;
  let text: string;
  try {
    // A reaper may still be writing: what it appends later makes a file of its own.
    renameSync(fileIn(folder), taken);
    text = readFileSync(taken, "utf8");
  } catch {
    return [];
  }
  rmSync(taken, { force: true });
  return text.split("\n").flatMap((line) => noteSchema.safeParse(parse(line)).data ?? []);
}

/** A line that a full disk cut short is no note. */
function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
