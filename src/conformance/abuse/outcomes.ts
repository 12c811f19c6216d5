import { formatLimit, type Limit, type LimitReceipt } from "../../limits.ts";
import type { Result } from "../../runtime.ts";
import { check, fail, show } from "../assert.ts";
import type { Ended } from "./bench.ts";

function describe({ result, error }: Ended): string {
  if (error !== undefined) return `the error ${error.code} (${error.message})`;
  return `the result ${show({ exitCode: result?.exitCode, stdout: result?.stdout, stderr: result?.stderr })}`;
}

export function receipt(ended: Pick<Ended, "limits">, limit: Limit): LimitReceipt {
  return ended.limits.find((one) => one.limit === limit) ?? fail(`there is no receipt for "${limit}"`);
}

const limitCodes: Readonly<Record<Limit, string>> = {
  timeout: "ERR_LIMIT_TIMEOUT",
  cpuTime: "ERR_LIMIT_CPU_TIME",
  cpu: "ERR_LIMIT_CPU_TIME",
  fuel: "ERR_LIMIT_FUEL",
  memory: "ERR_LIMIT_MEMORY",
  output: "ERR_LIMIT_OUTPUT",
  disk: "ERR_LIMIT_DISK",
  processes: "ERR_LIMIT_PROCESSES",
};

/** LIMIT: the limit ended the run, with an error that names it, its value and what was observed. */
export function endedByLimit(ended: Ended, limit: Limit): void {
  const { error } = ended;
  check(error?.code === limitCodes[limit], `it came to ${describe(ended)}, expected ${limitCodes[limit]}`);
  const { value, observed, limit: named } = error.details;
  check(named === limit && typeof value === "number", `the error's details do not name "${limit}" and its value: ${show(error.details)}`);
  check(error.message.includes(formatLimit(limit, value)), `the error's message does not say the value: ${error.message}`);
  check(typeof observed === "number", `the error's details do not say what was observed: ${show(error.details)}`);
  const { hit, applied } = receipt(ended, limit);
  check(hit === "yes", `the receipt of "${limit}" says hit "${hit}"`);
  check(applied === value, `the receipt of "${limit}" says that ${applied} was applied, the error says ${value}`);
}

/** LIMIT: the enforcer refused more, and the run ended by itself or at its timeout. */
export function refusedByLimit(ended: Ended, limit: Limit): void {
  const { error } = ended;
  const isOver = error === undefined || error.code === "ERR_LIMIT_TIMEOUT" || error.code === limitCodes[limit];
  check(isOver, `it came to ${describe(ended)}`);
  const { hit, applied, peak } = receipt(ended, limit);
  check(hit === "yes", `the receipt of "${limit}" says hit "${hit}", and it came to ${describe(ended)}`);
  check(applied !== undefined, `the receipt of "${limit}" does not say what was applied`);
  check(peak === undefined || peak <= applied, `the peak of "${limit}" is ${peak}, over the ${applied} that were applied`);
}

/** OK: a result with exit code 0. */
export function ranWell(ended: Ended): Result {
  const { result } = ended;
  check(result !== undefined && result.exitCode === 0, `it came to ${describe(ended)}, expected a result with exit code 0`);
  return result;
}

/** TRAP: the tool's own failure, reported as a result. */
export function failedByItself(ended: Ended): Result {
  const { result } = ended;
  check(result !== undefined && result.exitCode !== 0, `it came to ${describe(ended)}, expected a result with another exit code than 0`);
  return result;
}

/** NONE: the attack looked, and printed a line for each thing that it found. */
export function foundNothing(ended: Ended): void {
  const { stdout } = ranWell(ended);
  check(stdout.endsWith("looked\n"), `the attack did not look to the end: ${show(stdout)}`);
  check(stdout === "looked\n", `it found ${show(stdout)}`);
}

/** DENY: refused before the tool started. */
export function refused(ended: Ended, code: string): void {
  const { error } = ended;
  check(error?.code === code, `it came to ${describe(ended)}, expected ${code}`);
  check(!error.started, `${code} came after the tool had started`);
}
