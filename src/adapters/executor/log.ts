import { pino, type DestinationStream, type Logger } from "pino";

export interface LogOptions {
  readonly level: string;
  /** Default: stderr, written in batches. */
  readonly destination?: DestinationStream;
}

/**
 * What stands under one of these keys does not come out. Nobody should log them; this is the second wall. Keys of the top
 * level only: pino copies each record for a path with a wildcard.
 */
const secretKeys = [
  "authorization",
  "token",
  "tokens",
  "env",
  "input",
  "headers",
  "password",
  "secret",
  "secrets",
  "stdout",
  "stderr",
  "output",
];

export interface ServiceLog {
  readonly log: Logger;
  flush(): void;
}

/** A structured log, one JSON object a line. */
export function createLog({ level, destination }: LogOptions): ServiceLog {
  const options = { level, base: null, redact: { paths: secretKeys, censor: "[redacted]" } };
  if (destination !== undefined) return { log: pino(options, destination), flush() {} };
  const stderr = pino.destination({ dest: 2, sync: false, minLength: 32 * 1024, maxWrite: 64 * 1024, periodicFlush: 250 });
  return {
    log: pino(options, stderr),
    flush() {
      try {
        stderr.flushSync();
      } catch {
        // Nobody reads stderr any more, or it was never opened.
      }
    },
  };
}
