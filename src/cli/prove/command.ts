import { writeFile } from "node:fs/promises";
import { signProof, verifyProof } from "../../adapters/trust/index.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { readBounded, stateOf } from "../../internal/node/bounded-file.ts";
import { exitCodes, UsageError } from "../exit-codes.ts";
import { readKeySet, readPrivateKey } from "../keys/key-files.ts";
import { readVersion } from "../program.ts";
import { interruptionOf } from "../signals.ts";
import type { Terminal } from "../terminal.ts";
import { printReport } from "./print.ts";
import { prove, type ProveOptions } from "./prove.ts";
import { isProved } from "./report.ts";

const maxReportBytes = 16 * 2 ** 20;

export interface ProveHereOptions extends Pick<ProveOptions, "backends" | "profiles" | "limitsOnly" | "image" | "acceptEngines"> {
  readonly isJson: boolean;
  /** A file with a private key. */
  readonly sign: string | undefined;
  /** Where the report is written. */
  readonly out: string | undefined;
}

export interface VerifyOptions {
  /** A file with public keys. */
  readonly trusted: string | undefined;
  readonly isJson: boolean;
}

/** Proves what the backends of this machine declare, prints it, and gives the exit code. */
export async function proveHere(terminal: Terminal, options: ProveHereOptions): Promise<number> {
  const { isJson, sign, out, ...rest } = options;
  // A key that cannot be read is found out before minutes have gone by.
  const key = sign === undefined ? undefined : await readPrivateKey(sign);
  if (key !== undefined && out === undefined) throw new UsageError('The option "--sign" needs "--out": where the signed report goes');
  const interruption = interruptionOf(terminal, "all");
  try {
    const report = await prove({
      ...rest,
      version: await readVersion(),
      warn: () => undefined,
      onStep: (step) => terminal.status(`Proving ${step}`),
      signal: interruption.signal,
    });
    if (isJson) terminal.json(report);
    else printReport(terminal, report);
    if (out !== undefined)
      await writeFile(out, key === undefined ? `${JSON.stringify(report, undefined, 2)}\n` : `${await signProof(report, key)}\n`);
    return interruption.exitCode ?? (isProved(report) ? exitCodes.ok : exitCodes.failed);
  } finally {
    interruption.dispose();
  }
}

/** Checks a signed report by the keys that are trusted, and prints it. */
export async function verifyReport(terminal: Terminal, file: string, { trusted, isJson }: VerifyOptions): Promise<number> {
  if (trusted === undefined) throw new UsageError('The option "--verify" needs "--trusted": a file with the public keys to take');
  const report = await verifyProof(await readText(file), { keys: await readKeySet(trusted) });
  if (isJson) terminal.json(report);
  else printReport(terminal, report);
  return isProved(report) ? exitCodes.ok : exitCodes.failed;
}

async function readText(file: string): Promise<string> {
  try {
    return new TextDecoder().decode(await readBounded(file, maxReportBytes));
  } catch (error) {
    throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot read the report ${JSON.stringify(file)}: ${stateOf(error)}`, {
      cause: error,
    });
  }
}
