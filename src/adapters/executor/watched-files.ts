import { unwatchFile, watchFile } from "node:fs";

/** How often a file is looked at. By its times: a notice of the system is not to be had for a file that a link leads to. */
const intervalMs = 2000;

/** Calls back when one of the files was written, replaced, or a link on the way leads elsewhere. */
export function watchFiles(files: readonly string[], onChange: () => void): { stop(): void } {
  for (const file of files) watchFile(file, { interval: intervalMs, persistent: false }, onChange);
  return {
    stop() {
      for (const file of files) unwatchFile(file, onChange);
    },
  };
}
