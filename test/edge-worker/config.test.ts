import { expect, test } from "vitest";
import { readConfig } from "../../src/edge/cloudflare/config.ts";
import { ToolRuntimeError } from "../../src/index.ts";

const token = "alice-0123456789abcdef";

function errorOf(env: Readonly<Record<string, unknown>>): ToolRuntimeError {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ToolRuntimeError) return error;
    throw error;
  }
  throw new Error("it was taken");
}

test("reads tokens, by themselves or by the name of their secret, and nodes", () => {
  const env = {
    TOOLRUNTIME_TOKENS: JSON.stringify([
      { token, principal: "alice" },
      { env: "BOB", principal: "bob", tenant: "blue", scopes: ["read"] },
    ]),
    BOB: "bob-0123456789abcdef",
    TOOLRUNTIME_NODES: JSON.stringify([{ url: "https://node.example", env: "BOB" }]),
    TOOLRUNTIME_ORIGINS: "https://a.example, https://b.example",
  };
  expect(readConfig(env)).toEqual({
    security: "standard",
    tokens: [
      { token, principal: "alice", tenant: "default" },
      { token: env.BOB, principal: "bob", tenant: "blue", scopes: ["read"] },
    ],
    nodes: [{ url: "https://node.example", token: env.BOB }],
    origins: ["https://a.example", "https://b.example"],
    hosts: "any",
  });
});

test("without tokens serves profile dev alone, and there only the own machine's names", () => {
  expect(readConfig({ TOOLRUNTIME_SECURITY: "dev" })).toMatchObject({ tokens: [], hosts: ["localhost", "127.0.0.1", "[::1]"] });
  for (const security of ["standard", "hardened", ""]) expect(errorOf({ TOOLRUNTIME_SECURITY: security }).code).toBe("ERR_CONFIG_INVALID");
  for (const none of ["[]", ""]) expect(errorOf({ TOOLRUNTIME_TOKENS: none }).message).toContain("needs at least one token");
});

test.each([
  ["no JSON", '[{"token":"'],
  ["no list", "{}"],
  ["no objects", "[1]"],
  ["an unknown key", JSON.stringify([{ token, principal: "a", tenent: "b" }])],
  ["a short token", JSON.stringify([{ token: "secret", principal: "a" }])],
  ["a token with spaces", JSON.stringify([{ token: `${token} x`, principal: "a" }])],
  ["two sources", JSON.stringify([{ token, env: "BOB", principal: "a" }])],
  ["no source", JSON.stringify([{ principal: "a" }])],
  ["a secret that is not set", JSON.stringify([{ env: "BOB", principal: "a" }])],
  ["no principal", JSON.stringify([{ token }])],
  ["an unknown scope", JSON.stringify([{ token, principal: "a", scopes: ["write"] }])],
  ["no scopes", JSON.stringify([{ token, principal: "a", scopes: [] }])],
])("refuses tokens with %s, and never says what they hold", (_, tokens) => {
  const { code, message, details } = errorOf({ TOOLRUNTIME_TOKENS: tokens });
  expect([code, details["variable"]]).toEqual(["ERR_CONFIG_INVALID", "TOOLRUNTIME_TOKENS"]);
  for (const secret of [token, "secret"])
    expect(`${message.replace("the secret", "")}${JSON.stringify(details).replace("the secret", "")}`).not.toContain(secret);
});

test.each([
  ["TOOLRUNTIME_SECURITY", { TOOLRUNTIME_SECURITY: "standart" }],
  ["TOOLRUNTIME_NODES", { TOOLRUNTIME_NODES: '[{"url":"node","token":"t"}]' }],
  ["TOOLRUNTIME_NODES", { TOOLRUNTIME_NODES: '[{"url":"file:///etc","token":"t"}]' }],
  ["TOOLRUNTIME_NODES", { TOOLRUNTIME_NODES: '[{"url":"https://node.example"}]' }],
  ["TOOLRUNTIME_TOKENS", { TOOLRUNTIME_TOKENS: [] }],
])("refuses %s in %j", (variable, env) => {
  expect(errorOf({ TOOLRUNTIME_TOKENS: JSON.stringify([{ token, principal: "a" }]), ...env }).details["variable"]).toBe(variable);
});
