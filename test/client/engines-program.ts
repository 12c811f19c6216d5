import { remote } from "../../src/adapters/remote/index.ts";
import { createClient, type RunEvent } from "../../src/client.ts";
import { createRuntime, defineTool, ToolRuntimeError, type ManifestInput } from "../../src/index.ts";

export interface Where {
  readonly url: string;
  readonly token: string;
  /** An address at which nobody listens. */
  readonly closed: string;
  /** Of the script that writes one line and then sleeps. */
  readonly slow: ManifestInput;
}

/** What the client and the remote backend do on one engine, without times and ids. */
export interface Report {
  readonly run: unknown;
  readonly events: string;
  readonly files: readonly string[];
  readonly later: string;
  readonly refused: readonly string[];
  readonly left: string;
  readonly remote: readonly string[];
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "it ended well";
  } catch (error) {
    return error instanceof ToolRuntimeError ? `${error.code} ${error.started}` : String(error);
  }
}

function word(event: RunEvent): string {
  return event.type === "stdout" || event.type === "stderr" ? `${event.type}:${new TextDecoder().decode(event.bytes).trim()}` : event.type;
}

async function tryRemote({ url, token, slow }: Where): Promise<string[]> {
  const runtime = createRuntime({ security: "dev", backend: remote({ nodes: [{ url, token, name: "a" }] }) });
  const tool = await defineTool(slow);
  const controller = new AbortController();
  const onEvent = ({ type }: { readonly type: string }): void => {
    if (type === "stdout") controller.abort();
  };
  const ended = await failureOf(runtime.execute({ tool }, { signal: controller.signal, onEvent }));
  const limited = await runtime.execute({ tool, resources: { timeout: 300 } }).catch((error: unknown) => error);
  if (!(limited instanceof ToolRuntimeError)) return [ended, "it ended well"];
  return [ended, limited.code, limited.partial?.stdout ?? "", String(limited.details["via"]), String(limited.partial?.limits.length)];
}

export async function tryEngine(where: Where): Promise<Report> {
  const { url, token, closed } = where;
  const client = createClient({ url, token });
  const { output, exitCode, backend } = await client.run({ tool: "echo", input: { text: "hällo" } });
  const events: string[] = [];
  for await (const event of client.stream({ tool: "speaks" })) events.push(word(event));
  const big = new Uint8Array(2 ** 20 + 5).fill(7);
  const stream = new Blob(["streamed"]).stream();
  const copied = await client.run({ tool: "copy", files: { small: "text", big, stream } });
  const files = await Promise.all(
    copied.files.map(async (file) => `${file.path} ${(await client.blobs.get(file.digest)).length} ${file.digest}`),
  );
  const later = await (await client.start({ tool: "speaks" })).wait();
  let id = "";
  for await (const event of client.stream({ tool: "slow" })) {
    if (event.type === "accepted") id = event.id;
    if (event.type === "stdout") break;
  }
  const left = await client.execution(id).get();
  const refused = await Promise.all([
    failureOf(client.run({ tool: "none" })),
    failureOf(client.run({ tool: "slow", resources: { timeout: 300 } })),
    failureOf(createClient({ url, token: "another-0123456789abcdef" }).backends()),
    failureOf(createClient({ url: closed, retries: 0 }).backends()),
    failureOf(client.run({ tool: "slow" }, { signal: AbortSignal.timeout(700) })),
    failureOf(client.run({ tool: "slow" }, { deadline: 300 })),
  ]);
  return {
    run: { output, exitCode, backend: backend.name },
    events: events.join(" "),
    files: files.toSorted(),
    later: later.stdout,
    refused,
    left: `${left.status} ${left.problem?.code}`,
    remote: await tryRemote(where),
  };
}
