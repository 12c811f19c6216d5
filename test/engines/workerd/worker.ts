import { createRuntime, ToolRuntimeError, type Resources, type Runtime, type SecurityProfile } from "../../../src/index.ts";
import type { WasmOptions } from "../../../src/wasm/index.ts";
import { openSubject, watchGaps, type Subject } from "../backend/program.ts";
import { openTool, openTools, type ToolData, type Tools } from "../backend/tools.ts";

/** What the worker is asked to run, as JSON. */
export interface RunRequest {
  readonly tool: string;
  readonly security: SecurityProfile;
  readonly input?: unknown;
  readonly env?: Readonly<Record<string, string>>;
  readonly resources?: Resources;
  readonly deadline?: string;
}

/** How it ended, as seen in the worker. */
export interface RunAnswer {
  readonly result?: Awaited<ReturnType<Runtime["execute"]>>;
  readonly error?: ReturnType<ToolRuntimeError["toJSON"]>;
  /** For the eyes of the oracle. */
  readonly stack?: string | undefined;
  readonly tookMs: number;
  readonly gapMs: number;
  readonly turns: number;
}

interface Service {
  readonly subject: Subject;
  readonly tools: Tools;
  readonly runtime: Runtime;
}

async function answer({ subject }: Service, work: () => ReturnType<Runtime["execute"]>): Promise<RunAnswer> {
  const stop = watchGaps();
  const [startedAt, asked] = [performance.now(), subject.turns.asked];
  const seen = () => ({ tookMs: performance.now() - startedAt, gapMs: stop(), turns: subject.turns.asked - asked });
  try {
    const result = await work();
    return { result, ...seen() };
  } catch (error) {
    if (!(error instanceof ToolRuntimeError)) throw error;
    return { error: error.toJSON(), stack: `${error.stack} ${String(error.cause)}`, ...seen() };
  }
}

async function handle(service: Service, request: Request): Promise<Response> {
  const { runtime, tools } = service;
  const url = new URL(request.url);
  if (url.pathname === "/readyz") return Response.json(await runtime.probe());
  if (url.pathname === "/victim") {
    const { stdout } = await runtime.execute({ tool: tools.get("echo"), input: { nonce: url.searchParams.get("nonce") } });
    return new Response(stdout);
  }
  if (url.pathname === "/ingest") {
    // The bytes come with the request, as those of a tool that nobody knew before.
    const bytes = new Uint8Array(await request.arrayBuffer());
    const digest = url.searchParams.get("digest") ?? undefined;
    return Response.json(await answer(service, async () => runtime.execute({ tool: await openTool(bytes, { digest }) })));
  }
  const { tool, deadline, ...task } = (await request.json()) as RunRequest;
  const call = { signal: request.signal, ...(deadline === undefined ? {} : { deadline }) };
  return Response.json(await answer(service, () => runtime.execute({ ...task, tool: tools.get(tool) }, call)));
}

export interface Handler {
  fetch(request: Request): Promise<Response>;
}

export interface ServiceParts {
  readonly data: readonly ToolData[];
  /** What the platform compiled of them. */
  readonly built: Parameters<typeof openTools>[1];
  readonly wasm: WasmOptions;
}

export async function openService({ data, built, wasm }: ServiceParts): Promise<Handler> {
  const tools = await openTools(data, built);
  const subject = openSubject(wasm);
  const runtime = createRuntime({ backend: subject.backend, security: "dev" });
  const service: Service = { subject, tools, runtime };
  return {
    fetch: async (request) => {
      try {
        return await handle(service, request);
      } catch (error) {
        return new Response(String(error), { status: 500 });
      }
    },
  };
}
