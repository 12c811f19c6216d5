import { errorCodes, ToolRuntimeError, type ErrorCode } from "../errors.ts";
import { canonicalJson } from "../internal/json.ts";

/** What a case throws where the runtime does not keep the contract. */
export class ConformanceFailure extends Error {
  override readonly name = "ConformanceFailure";
}

export function fail(why: string): never {
  throw new ConformanceFailure(why);
}

export function check(holds: boolean, why: string): asserts holds {
  if (!holds) fail(why);
}

/** JSON has no word for `undefined`. */
function canonical(value: unknown): string {
  return value === undefined ? "undefined" : canonicalJson(value);
}

/** At most so much of a value in a message. */
const maxShown = 200;

export function show(value: unknown): string {
  const text = canonical(value);
  return text.length <= maxShown ? text : `${text.slice(0, maxShown)}… (${text.length} characters)`;
}

/** Compares two JSON values by content, the order of keys apart. */
export function same(actual: unknown, expected: unknown, what: string): void {
  if (canonical(actual) === canonical(expected)) return;
  fail(`${what} is ${show(actual)}, expected ${show(expected)}`);
}

export function sameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  const end = Math.min(actual.length, expected.length);
  let at = 0;
  while (at < end && actual[at] === expected[at]) at++;
  if (at === actual.length && at === expected.length) return;
  fail(`${what} is ${actual.length} bytes and differs at ${at}, expected ${expected.length} bytes`);
}

export interface ErrorExpectation {
  /** Any of these. */
  readonly code: ErrorCode | readonly ErrorCode[];
  readonly started: boolean;
}

/** Waits for a rejection with one of the codes, and checks what every error must carry. */
export async function rejection(work: Promise<unknown>, expected: ErrorExpectation): Promise<ToolRuntimeError> {
  const codes: readonly string[] = typeof expected.code === "string" ? [expected.code] : expected.code;
  const error = await work.then(
    (value) => fail(`it gave the result ${show(value)}, expected ${codes.join(" or ")}`),
    (reason: unknown) => reason,
  );
  if (error instanceof ConformanceFailure) throw error;
  if (!(error instanceof ToolRuntimeError)) fail(`it rejected with ${String(error)}, expected a ToolRuntimeError ${codes.join(" or ")}`);
  check(codes.includes(error.code), `it rejected with ${error.code} (${error.message}), expected ${codes.join(" or ")}`);
  same(error.actor, errorCodes[error.code].actor, "the error's actor");
  same(error.retryable, errorCodes[error.code].retryable, "the error's retryable");
  same(error.started, expected.started, `started of ${error.code}`);
  check(typeof error.id === "string" && error.id !== "", `${error.code} carries no execution id`);
  check(typeof error.backend === "string" && error.backend !== "", `${error.code} carries no backend`);
  check(error.message !== "" && !error.message.includes("\n"), `the message of ${error.code} is not one line`);
  // Details go over the wire.
  same(JSON.parse(JSON.stringify(error.details)), error.details, `the details of ${error.code} as JSON`);
  return error;
}

/** Waits at most so long. The work itself is not ended. */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new ConformanceFailure(`${what} did not settle within ${Math.round(ms)} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
