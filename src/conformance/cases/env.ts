import type { ToolRuntimeError } from "../../errors.ts";
import { check, same } from "../assert.ts";
import { EventLog, type Bench } from "../bench.ts";
import { interrupts, knowsCanary, type ConformanceCase } from "../case.ts";
import { steps } from "../probe.ts";

const secret = "s3cret-5d41402abc4b2a76";
const declared = { permissions: { secrets: ["token"] } };

/** The environment that the tool saw, without what its sandbox sets. */
async function seenEnv(bench: Bench, env: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  const { stdout } = await bench.succeed({ do: "env" }, { task: { env } });
  const all = JSON.parse(stdout) as Record<string, string>;
  const ambient = bench.settings.ambientEnv ?? [];
  return Object.fromEntries(Object.entries(all).filter(([name]) => !ambient.includes(name) || name in env));
}

/** All that an error says, its causes included. */
function wholeText(error: ToolRuntimeError): string {
  const parts: string[] = [JSON.stringify(error)];
  for (let at: unknown = error; at instanceof Error; at = at.cause) parts.push(at.message, at.stack ?? "");
  return parts.join("\n");
}

export const envCases: readonly ConformanceCase[] = [
  {
    id: "env-exact",
    title: "the tool's environment is what the task gives, and nothing else",
    async run(bench) {
      const env = { A: "1", EMPTY: "", UNICODE: "é 漢 🙂", EQUALS: "a=b=c", LINES: "a\nb", PATH: "/nowhere", lower_1: "x" };
      same(await seenEnv(bench, env), env, "the environment");
      same(await seenEnv(bench, {}), {}, "the environment of a task that gives none");
    },
  },
  {
    id: "env-host-hidden",
    title: "nothing of the host's environment reaches the tool",
    requires: knowsCanary,
    async run(bench) {
      const { name = "", value = "" } = bench.settings.canary ?? {};
      const { stdout } = await bench.succeed({ do: "env" });
      check(!stdout.includes(name) && !stdout.includes(value), "the canary of the host's environment is in the tool's");
    },
  },
  {
    id: "env-name-invalid",
    title: "a name or value that no environment can hold is refused",
    async run(bench) {
      const runtime = await bench.open();
      for (const env of [{ "A B": "1" }, { "": "1" }, { "A=B": "1" }, { "1A": "1" }, { A: "a\u0000b" }]) {
        await bench.refuse("ERR_INPUT_INVALID", { do: "env" }, { runtime, task: { env: { ...env } } });
      }
    },
  },
  {
    id: "secret-declared",
    title: "a secret that the tool declares reaches it, and only that one is asked for",
    async run(bench) {
      const asked: string[] = [];
      const secrets = (name: string): string => {
        asked.push(name);
        return secret;
      };
      const { stdout } = await bench.succeed(
        { do: "env" },
        { options: { secrets }, manifest: declared, task: { env: { KEY: { secret: "token" } } } },
      );
      same((JSON.parse(stdout) as Record<string, string>)["KEY"], secret, "the variable");
      same(asked, ["token"], "the secrets that were asked for");
    },
  },
  {
    id: "secret-undeclared",
    title: "a secret that the tool does not declare is refused without being asked for",
    async run(bench) {
      let asked = 0;
      const secrets = (): string => `${secret}${asked++}`;
      const task = { env: { KEY: { secret: "token" } } };
      await bench.refuse("ERR_POLICY_DENIED", { do: "env" }, { options: { secrets }, task });
      same(asked, 0, "how often the secret was asked for");
    },
  },
  {
    id: "secret-unknown",
    title: "a secret that the runtime does not have is ERR_SECRET_UNKNOWN",
    async run(bench) {
      await bench.refuse("ERR_SECRET_UNKNOWN", { do: "env" }, { manifest: declared, task: { env: { KEY: { secret: "token" } } } });
    },
  },
  {
    id: "secret-not-in-result",
    title: "a secret is in no part of a result or event that the tool did not put it into",
    async run(bench) {
      const events = new EventLog();
      const result = await bench.succeed(steps({ do: "write", text: "fine" }, { do: "write", to: "stderr", text: "fine" }), {
        options: { secrets: () => secret },
        manifest: declared,
        task: { env: { KEY: { secret: "token" } } },
        call: { onEvent: events.listener },
      });
      check(!JSON.stringify(result).includes(secret), "the secret is in the result");
      for (const stream of ["stdout", "stderr"] as const) {
        check(!new TextDecoder().decode(events.bytes(stream)).includes(secret), `the secret is in the events of ${stream}`);
      }
    },
  },
  {
    id: "secret-not-in-error",
    title: "a secret is in no part of an error",
    async run(bench) {
      const error = await bench.ended(
        "ERR_OUTPUT_INVALID",
        { do: "write", text: "no JSON" },
        {
          options: { secrets: () => secret },
          manifest: { ...declared, outputSchema: { type: "object" } },
          task: { env: { KEY: { secret: "token" } } },
        },
      );
      check(!wholeText(error).includes(secret), "the secret is in the error");
    },
  },
  {
    id: "secret-not-in-limit-error",
    title: "a secret is in no part of the error of a run that was ended",
    requires: interrupts,
    async run(bench) {
      const error = await bench.ended(
        "ERR_LIMIT_TIMEOUT",
        { do: "sleep", ms: 30_000 },
        {
          options: { secrets: () => secret },
          manifest: declared,
          task: { env: { KEY: { secret: "token" } }, resources: { timeout: 600 } },
          afterMs: 600,
        },
      );
      check(!wholeText(error).includes(secret), "the secret is in the error");
    },
  },
];
