import { execFile } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { EngineVersion } from "../oci/floors.ts";

const run = promisify(execFile);
const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const versionTimeoutMs = 5000;

export interface RunscProgram {
  readonly path: string;
  /** As it says it: `release-20250310.0`, or Debian's `0.0~20221219.0`. */
  readonly version: string;
  /** Its releases are days: as a version that can be compared. */
  readonly engine: EngineVersion;
  /** Changes with the file: what was found out of another one holds no more. */
  readonly identity: string;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Nothing where there is no such file. */
export function identityOf(path: string): string | undefined {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = statSync(path);
    return [dev, ino, size, mtimeMs, ctimeMs].join(":");
  } catch {
    return undefined;
  }
}

/** @throws where there is none, or it does not say its version. */
export async function findRunsc(given: string | undefined): Promise<RunscProgram> {
  const path = given ?? folders.map((folder) => join(folder, "runsc")).find(isExecutable);
  if (path === undefined) throw new Error(`there is no runsc in ${folders.join(", ")}; install gVisor or name it as "runtimePath"`);
  const identity = identityOf(path);
  if (identity === undefined) throw new Error(`there is no ${JSON.stringify(path)}; install gVisor or name another "runtimePath"`);
  const { stdout } = await run(path, ["--version"], { timeout: versionTimeoutMs, env: {} }).catch((cause: unknown) => {
    throw new Error(`the runtime ${JSON.stringify(path)} does not start`, { cause });
  });
  const [, version] = /^runsc version (\S+)/m.exec(stdout) ?? [];
  const [, day, patch = "0"] = /(\d{8})(?:\.(\d+))?/.exec(version ?? "") ?? [];
  if (version === undefined) throw new Error(`the runtime ${JSON.stringify(path)} says no version of runsc's`);
  return { path, version, engine: { name: "runsc", version: `${day ?? "0"}.${patch}.0` }, identity };
}
