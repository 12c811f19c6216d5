import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { bundle, engines, findBinary, openWorker, runScript } from "../../bench/engines.ts";
import { tokens } from "../edge/support.ts";
import { closedUrl } from "../remote/support.ts";
import { tryEngine, type Report, type Where } from "./engines-program.ts";
import { openClient } from "./support.ts";

const scripts = {
  speaks: "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three",
  slow: "echo begun; sleep 30",
  copy: 'for f in *; do case "$f" in out|tmp) ;; *) cp "$f" "out/$f";; esac; done',
};

async function reportOf(engine: (typeof engines)[number], where: Where): Promise<Report> {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const head = `import { tryEngine } from "./engines-program.ts";
    const where = ${JSON.stringify(where)};`;
  if (engine !== "workerd") {
    const code = await bundle(`${head} console.log(JSON.stringify(await tryEngine(where)));`, folder);
    return JSON.parse(await runScript(engine, code, { timeoutMs: 25_000, loopback: true })) as Report;
  }
  const main = `${head}
    const answer = async () => Response.json(await tryEngine(where));
    export default { fetch: () => answer().catch((error) => new Response(error.stack, { status: 500 })) };`;
  await using worker = await openWorker(await bundle(main, folder), { loopback: true });
  const response = await fetch(worker.url);
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as Report;
}

describe("client and remote backend do the same on each engine", () => {
  it.for(engines)("%s", async (engine, { skip }) => {
    const found = findBinary(engine);
    if ("missing" in found) return skip(found.missing);
    const { url } = await openClient(scripts);
    const slow = { name: "slow", version: "1.0.0", description: "A script", inputSchema: { type: "object" } };
    const where = {
      url,
      token: tokens.alice.token,
      closed: await closedUrl(),
      slow: { ...slow, artifacts: { command: { argv: ["sh", "-c", scripts.slow] } } },
    };
    const report = await reportOf(engine, where);
    expect(report).toEqual(await tryEngine(where));
    expect(report).toMatchObject({
      run: { output: { text: "hällo" }, exitCode: 0, backend: "wasm" },
      events: "accepted started stdout:one stderr:two stdout:three result",
      later: "one\nthree\n",
      refused: [
        "ERR_TOOL_NOT_FOUND false",
        "ERR_LIMIT_TIMEOUT true",
        "ERR_UNAUTHORIZED false",
        "ERR_CONNECTION_FAILED false",
        "ERR_ABORTED true",
        "ERR_DEADLINE true",
      ],
      left: "ended ERR_ABORTED",
      remote: ["ERR_ABORTED true", "ERR_LIMIT_TIMEOUT", "begun\n", "a", "6"],
    });
  });
});
