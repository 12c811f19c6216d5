import { expect, test } from "vitest";
import { errorCodes, ToolRuntimeError, toToolRuntimeError } from "../../src/errors.ts";

test("each code says who must act and whether to try again", () => {
  for (const [code, { actor, retryable }] of Object.entries(errorCodes)) {
    expect(code).toMatch(/^ERR_[A-Z]+(?:_[A-Z]+)*$/);
    expect(["caller", "operator", "author", "platform"]).toContain(actor);
    expect(typeof retryable).toBe("boolean");
  }
});

test("with() adds what is missing and keeps what is there", () => {
  const cause = new Error("cause");
  const partial = { stdout: "o", stderr: "e", truncated: { stdout: false, stderr: false }, limits: [] };
  const first = new ToolRuntimeError("ERR_LIMIT_OUTPUT", "message", { details: { limit: "output" } });
  const second = first.with({ id: "1", backend: "b", started: true, details: { limit: "other", more: 1 }, partial, cause });
  expect(second).toMatchObject({ code: "ERR_LIMIT_OUTPUT", message: "message", id: "1", backend: "b", started: true, partial, cause });
  expect(second.details).toEqual({ limit: "output", more: 1 });
  expect(second.stack).toBe(first.stack);
  const third = second.with({ id: "2", backend: "c", started: false, partial: { ...partial, stdout: "x" }, cause: "other" });
  expect(third).toMatchObject({ id: "1", backend: "b", started: true, partial, cause });
  expect(first).toMatchObject({ id: undefined, backend: undefined, started: false });
});

test("its JSON has neither cause nor stack", () => {
  const error = new ToolRuntimeError("ERR_INTERNAL", "message", { cause: new Error("s3cret") });
  const text = JSON.stringify(error);
  expect(text).not.toContain("s3cret");
  expect(text).not.toContain("errors.test.ts");
  expect(JSON.parse(text)).toEqual({
    code: "ERR_INTERNAL",
    message: "message",
    actor: "platform",
    retryable: false,
    started: false,
    details: {},
  });
});

test("anything that was thrown becomes an error of ours, and one of ours stays", () => {
  const own = new ToolRuntimeError("ERR_ABORTED", "x");
  expect(toToolRuntimeError(own)).toBe(own);
  for (const thrown of [new Error("x"), "x", undefined, null, 1, { message: "x" }, Object.create(null), Symbol("x")]) {
    expect(toToolRuntimeError(thrown)).toMatchObject({ code: "ERR_INTERNAL" });
  }
  expect(toToolRuntimeError("x", "ERR_BACKEND_FAILED").code).toBe("ERR_BACKEND_FAILED");
});
