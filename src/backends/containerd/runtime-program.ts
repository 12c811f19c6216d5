import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { EngineVersion } from "../oci/floors.ts";

const run = promisify(execFile);
const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const versionTimeoutMs = 5000;

export interface RuntimeProgram extends EngineVersion {
  /** Absolute: the daemon is told to start this one, which was judged, and not what it finds itself. */
  readonly path: string;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @throws where there is none, or it does not say its version. */
export async function findRuntimeProgram(given: string | undefined): Promise<RuntimeProgram> {
  const path = given ?? folders.map((folder) => join(folder, "runc")).find(isExecutable);
  if (path === undefined) throw new Error(`there is no runc in ${folders.join(", ")}; install it or name it as "runtimePath"`);
  const { stdout } = await run(path, ["--version"], { timeout: versionTimeoutMs, env: {} }).catch((cause: unknown) => {
    throw new Error(`the runtime ${path} does not start`, { cause });
  });
  const [, name, version] = /^(\S+) version (\S+)/m.exec(stdout) ?? [];
  if (name === undefined || version === undefined) throw new Error(`the runtime ${path} does not say its version`);
  return { path, name, version };
}
