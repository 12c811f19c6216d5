import { writeSync } from "node:fs";
import { text } from "node:stream/consumers";
import { cleanUp, untilGone } from "./clean-up.ts";
import { farewell, type Mission } from "./mission.ts";
import { leaveNote } from "./notes.ts";

/** The process that outlives the service. It ends whatever a daemon does. */
const maxMs = 60_000;
const maxNamed = 100;
/** As pino numbers them. */
const levels = { warn: 40, error: 50 } as const;

const { owner, backends, stateFolder, says } = JSON.parse(process.argv[2] ?? "") as Mission;

/** A line in the service's log, where somebody still reads it. */
function say(level: keyof typeof levels, facts: object, msg: string): void {
  try {
    writeSync(2, `${JSON.stringify({ level: levels[level], time: Date.now(), ...facts, msg })}\n`);
  } catch {
    // Nobody does.
  }
}

if ((await text(process.stdin)).trim() === farewell) process.exit();
setTimeout(() => {
  if (says.problems) say("error", { owner }, "could not remove in time what the killed service had left");
  process.exit(1);
}, maxMs);
if (!(await untilGone(owner))) process.exit();
const cleaned = await cleanUp(backends);
const found = cleaned.filter(({ removed }) => removed.length > 0);
if (stateFolder !== undefined)
  for (const { backend, removed } of found) leaveNote(stateFolder, { backend, removed: removed.slice(0, maxNamed), count: removed.length });
const problems = cleaned.flatMap(({ backend, problem }) => (problem === undefined ? [] : [{ backend, problem }]));
if (problems.length > 0 && says.problems)
  say(
    "error",
    { owner, problems, removed: found.flatMap(({ removed }) => removed).slice(0, maxNamed) },
    "the service was killed; not all that it left could be removed",
  );
else if (found.length > 0 && says.removed) {
  const removed = found.flatMap(({ backend, removed: names }) => names.map((name) => `${backend} ${name}`));
  say("warn", { owner, removed: removed.slice(0, maxNamed), count: removed.length }, "the service was killed; removed what it had left");
}
process.exit(problems.length > 0 ? 1 : 0);
