import type { ArgsDef, CommandDef, SubCommandsDef } from "citty";
import { parseArgs } from "node:util";
import { didYouMean } from "../internal/nearest.ts";
import { UsageError } from "./exit-codes.ts";

export type Command<T extends ArgsDef = ArgsDef> = CommandDef<T> & {
  /** Printed under the options in `--help`: examples, exit codes. */
  readonly notes?: string;
  /** Whether more arguments may stand there than are named. */
  readonly takesMany?: boolean;
};

/** A command whatever its arguments are, as citty types what it is given. */
export type AnyCommand = Exclude<SubCommandsDef[string], Promise<unknown> | (() => unknown)> & Pick<Command, "notes" | "takesMany">;

/** Types a command's `run` by its `args`, as citty's own `defineCommand` does. */
export function defineCommand<const T extends ArgsDef>(command: Command<T>): Command<T> {
  return command;
}

function tokensOf(rawArgs: readonly string[], args: ArgsDef) {
  const options = Object.entries(args)
    .filter(([, { type }]) => type !== "positional")
    .map(([name, { type }]) => [name, { type: type === "boolean" ? "boolean" : "string" }] as const);
  return parseArgs({ args: [...rawArgs], options: Object.fromEntries(options), strict: false, allowPositionals: true, tokens: true })
    .tokens;
}

/** Every value of an option that may be given several times. */
export function valuesOf(rawArgs: readonly string[], args: ArgsDef, name: string): string[] {
  return tokensOf(rawArgs, args).flatMap((token) =>
    token.kind === "option" && token.name === name && token.value !== undefined ? [token.value] : [],
  );
}

/** Every argument that is no option. */
export function argumentsOf(rawArgs: readonly string[], args: ArgsDef): string[] {
  return tokensOf(rawArgs, args).flatMap((token) => (token.kind === "positional" ? [token.value] : []));
}

interface Arguments {
  readonly args: ArgsDef;
  readonly takesMany?: boolean | undefined;
}

/**
 * Refuses what citty's lenient parser would pass over: unknown options, options without their value, arguments too many.
 *
 * @throws UsageError.
 */
export function checkArguments(rawArgs: readonly string[], { args, takesMany = false }: Arguments): void {
  const known = Object.keys(args).filter((name) => args[name]?.type !== "positional");
  let room = takesMany ? Number.POSITIVE_INFINITY : Object.values(args).filter(({ type }) => type === "positional").length;
  for (const token of tokensOf(rawArgs, args)) {
    if (token.kind === "positional" && room-- === 0) throw new UsageError(`Unexpected argument ${JSON.stringify(token.value)}`);
    if (token.kind === "option") checkOption(token, args, known);
  }
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function checkOption(token: OptionToken, args: ArgsDef, known: readonly string[]): void {
  const { name, rawName, value } = token;
  const own = Object.hasOwn(args, name) ? args[name] : undefined;
  const type = own?.type ?? "unknown";
  if (type === "unknown" || type === "positional") {
    const hint = didYouMean(name, known).replace(/"(.+)"/, '"--$1"');
    throw new UsageError(`Unknown option "${rawName}"${hint}`);
  }
  if (type === "boolean") {
    if (value !== undefined) throw new UsageError(`The option "${rawName}" takes no value`);
    return;
  }
  if (value === undefined || value === "") throw new UsageError(`The option "${rawName}" needs a value`);
  if (token.inlineValue === false && value.length > 1 && value.startsWith("-")) {
    throw new UsageError(`The option "${rawName}" needs a value; for one that begins with a dash write ${rawName}=${value}`);
  }
}
