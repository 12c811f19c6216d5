import { accessSync, constants, writeFileSync } from "node:fs";
import { initPrograms } from "./init-program.ts";

/** Where the first process of a container is bound. In `/dev`, so that no image can have something of its own there. */
export const initPath = "/dev/toolruntime-init";
/** How it says that the tool's program cannot be executed: `<number of the error>` follows. */
export const initFailure = "toolruntime-init: the program cannot be executed, error ";

/**
 * Writes the program that is the first process of a container, for an engine that has none of its own.
 *
 * @throws where there is none for this machine, or the folder's file system lets nothing be executed.
 */
export function writeInitProgram(path: string): void {
  const program = initPrograms[process.arch];
  if (program === undefined) throw new Error(`there is no init program for ${process.arch}`);
  writeFileSync(path, Buffer.from(program, "base64"), { mode: 0o555 });
  try {
    accessSync(path, constants.X_OK);
  } catch (cause) {
    throw new Error("nothing can be executed in the scratch folder: name one on a file system without noexec", { cause });
  }
}

/** Why the tool's program was not started, from what the first process wrote. */
export function startFailure(startOfErrors: string): string | undefined {
  if (!startOfErrors.startsWith(initFailure)) return undefined;
  const errno = Number(startOfErrors.slice(initFailure.length, initFailure.length + 2));
  const reasons: Readonly<Record<number, string>> = {
    2: "the image has no such file, or not what interprets it",
    8: "it is not made for this machine",
    13: "it is not executable",
  };
  return reasons[errno] ?? `the kernel refuses it with error ${errno}`;
}
