import { accessSync, constants, statSync } from "node:fs";
import { delimiter, isAbsolute, join, resolve, sep } from "node:path";
import { ToolRuntimeError } from "../../errors.ts";
import type { Tool } from "../../tool.ts";

/** A command with every path in place. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
}

function artifactError(tool: Tool, why: string): ToolRuntimeError {
  return new ToolRuntimeError(
    "ERR_ARTIFACT_INVALID",
    `Cannot run the command of the tool "${tool.manifest.name}" on backend "unsafe": ${why}`,
    {
      backend: "unsafe",
      details: { tool: tool.manifest.name },
    },
  );
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return isFile(path);
  } catch {
    return false;
  }
}

function isInside(folder: string, path: string): boolean {
  return path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

/** `./name` is always of the tool's folder; any other argument is where it names a file of it. */
function resolveArgument(tool: Tool, folder: string | undefined, argument: string): string {
  const isExplicit = argument.startsWith("./");
  if (folder === undefined) {
    if (isExplicit) throw artifactError(tool, `"${argument}" is relative and the tool has no folder; load the tool from its folder`);
    return argument;
  }
  if (argument === "" || isAbsolute(argument) || argument.includes("\0")) return argument;
  const path = resolve(folder, argument);
  if (isInside(folder, path) && isFile(path)) return path;
  if (isExplicit)
    throw artifactError(tool, `"${argument}" is no file of the tool's folder; correct artifacts.command.argv or add the file`);
  return argument;
}

function findProgram(tool: Tool, program: string, searchPath: string): string {
  if (program.includes("/")) {
    if (!isFile(program)) throw artifactError(tool, `"${program}" is no file; correct artifacts.command.argv`);
    if (!isExecutable(program)) throw artifactError(tool, `"${program}" is not executable; set its x permission`);
    return program;
  }
  for (const folder of searchPath.split(delimiter)) {
    if (isAbsolute(folder) && isExecutable(join(folder, program))) return join(folder, program);
  }
  throw artifactError(tool, `the program "${program}" is in no folder of the search path; install it, or set the backend's option "path"`);
}

/**
 * Finds the program and the files that a command names.
 *
 * @throws `ERR_ARTIFACT_INVALID`.
 */
export function resolveCommand(tool: Tool, searchPath: string): Command {
  const [program, ...args] = tool.manifest.artifacts.command?.argv ?? [];
  if (program === undefined || program === "") throw artifactError(tool, "artifacts.command.argv names no program");
  const folder = tool.sources.folder === undefined ? undefined : resolve(tool.sources.folder);
  if (folder !== undefined && statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw artifactError(tool, "the tool's folder is not there; put it back or load the tool again");
  }
  return {
    program: findProgram(tool, resolveArgument(tool, folder, program), searchPath),
    args: args.map((argument) => resolveArgument(tool, folder, argument)),
  };
}
