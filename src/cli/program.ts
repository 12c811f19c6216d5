import { renderUsage, runCommand } from "citty";
import { readFile } from "node:fs/promises";
import { styleText, stripVTControlCharacters } from "node:util";
import { toToolRuntimeError, ToolRuntimeError } from "../errors.ts";
import { didYouMean } from "../internal/nearest.ts";
import { checkArguments, type AnyCommand } from "./command.ts";
import { exitCodes, isUsageCode, UsageError } from "./exit-codes.ts";
import { printError } from "./print-error.ts";
import { openTerminal, styled, type Terminal } from "./terminal.ts";

/** Runs a command or one of its sub-commands, and ends the process with its exit code. */
export async function runProgram(root: AnyCommand, argv: readonly string[]): Promise<void> {
  const terminal = openTerminal();
  let code: number;
  try {
    code = await dispatch(terminal, root, argv);
  } catch (error) {
    code = reportFailure(terminal, error);
  }
  await terminal.flush();
  process.exit(terminal.stdoutGone.aborted ? exitCodes.brokenPipe : code);
}

async function dispatch(terminal: Terminal, root: AnyCommand, argv: readonly string[]): Promise<number> {
  if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-v")) {
    terminal.print(await readVersion());
    return exitCodes.ok;
  }
  const { command, rest } = await findCommand(root, argv);
  if (rest.some((arg, index) => isHelp(arg) && !rest.slice(0, index).includes("--"))) {
    await printHelp(command);
    return exitCodes.ok;
  }
  if (command.subCommands !== undefined) {
    await printHelp(command);
    return exitCodes.usage;
  }
  checkArguments(rest, { args: await resolve(command.args ?? {}), takesMany: command.takesMany });
  const { result } = await runCommand(command, { rawArgs: [...rest] });
  return typeof result === "number" ? result : exitCodes.ok;
}

function isHelp(arg: string): boolean {
  return arg === "--help" || arg === "-h";
}

function isThunk<T>(value: T | Promise<T> | (() => T | Promise<T>)): value is () => T | Promise<T> {
  return typeof value === "function";
}

function resolve<T>(value: T | Promise<T> | (() => T | Promise<T>)): T | Promise<T> {
  return isThunk(value) ? value() : value;
}

/** Follows the names of sub-commands. @throws UsageError for an unknown one. */
async function findCommand(root: AnyCommand, argv: readonly string[]): Promise<{ command: AnyCommand; rest: readonly string[] }> {
  let command: AnyCommand = root;
  const path = ["toolruntime"];
  for (let index = 0; ; index++) {
    const subCommands = await resolve(command.subCommands ?? {});
    const name = argv[index];
    if (Object.keys(subCommands).length === 0 || name === undefined || isHelp(name)) return { command, rest: argv.slice(index) };
    const found = Object.hasOwn(subCommands, name) ? subCommands[name] : undefined;
    if (found === undefined) {
      const known = Object.keys(subCommands);
      const what = name.startsWith("-") ? "option" : "command";
      throw new UsageError(`Unknown ${what} "${name}"${didYouMean(name, known) || `; ${path.join(" ")} has ${known.join(", ")}`}`);
    }
    command = await resolve<AnyCommand>(found);
    path.push(name);
  }
}

/** citty colours whatever it renders for; here only a terminal gets colours, and none where `NO_COLOR` is set. */
async function printHelp(command: AnyCommand): Promise<void> {
  const usage = await renderUsage(command);
  const notes = command.notes === undefined ? "" : `\n${command.notes}\n`;
  const hasColours = styleText("bold", "x", { stream: process.stdout }) !== "x";
  process.stdout.write(`${hasColours ? usage : stripVTControlCharacters(usage)}\n${notes}`);
}

function reportFailure(terminal: Terminal, error: unknown): number {
  const isCitty = error instanceof Error && error.name === "CLIError";
  if (error instanceof UsageError || isCitty) {
    terminal.note(styled("red", "toolruntime: "), stripVTControlCharacters(error.message));
    terminal.note('  next: the same command with "--help" shows what it takes');
    return exitCodes.usage;
  }
  const failure = toToolRuntimeError(error);
  printError(terminal, failure);
  if (!(error instanceof ToolRuntimeError) && failure.cause instanceof Error) {
    terminal.note("  This is a defect of toolruntime; please report it with this trace:");
    for (const line of (failure.cause.stack ?? "").split("\n").slice(1, 6)) terminal.note(line);
  }
  return isUsageCode(failure.code) ? exitCodes.usage : exitCodes.failed;
}

/** The package's version; the file is two folders up from the sources and from what is built of them. */
export async function readVersion(): Promise<string> {
  const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  const manifest: unknown = JSON.parse(text);
  return typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "unknown";
}
