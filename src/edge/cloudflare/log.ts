import type { Log } from "../options.ts";

/** What an error says in a log: its stack has the message too. */
function plain(facts: object): object {
  return Object.fromEntries(
    Object.entries(facts).map(([key, value]) => [key, value instanceof Error ? (value.stack ?? String(value)) : value]),
  );
}

/** Writes each line as one JSON object, which Workers Logs takes apart into fields. */
export function consoleLog(): Log {
  return {
    info: (facts, message) => console.log(JSON.stringify({ level: "info", message, ...plain(facts) })),
    warn: (facts, message) => console.warn(JSON.stringify({ level: "warn", message, ...plain(facts) })),
    error: (facts, message) => console.error(JSON.stringify({ level: "error", message, ...plain(facts) })),
  };
}
