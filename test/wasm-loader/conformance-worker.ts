import { runConformance, type ConformanceOptions } from "../../src/conformance/index.ts";
import { createRuntime, type Backend, type CompiledArtifact, type SecurityProfile } from "../../src/index.ts";
import { builtWasm } from "../../src/wasm/built.ts";
import { isolates, type WorkerLoader } from "../../src/wasm/loader/index.ts";
import { bytesOf } from "../engines/backend/tools.ts";

export interface SuiteOptions {
  /** With the text of the engine, runs are in isolates; without it in the worker itself. */
  readonly engine?: string;
  /** The guest, as base64; or what was built of it. */
  readonly probe: string | readonly CompiledArtifact[];
  readonly canary: NonNullable<ConformanceOptions["canary"]>;
}

/** How one case ended in the worker. */
export interface CaseAnswer {
  readonly outcome: "passed" | "failed" | "skipped";
  readonly why?: string | undefined;
}

interface SuiteHandler {
  fetch(request: Request, env: { readonly LOADER: WorkerLoader }): Promise<Response>;
}

/** A worker that runs the cases of the suite one by one, with isolates or what was built into it as the backend. */
export function serveSuite({ engine, probe, canary }: SuiteOptions): SuiteHandler {
  const guests = { wasm: typeof probe === "string" ? bytesOf(probe) : probe };
  let backend: Backend | undefined;
  return {
    fetch: async (request, { LOADER }) => {
      const { searchParams } = new URL(request.url);
      const own = (backend ??= engine === undefined ? builtWasm() : isolates({ loader: LOADER, engine }));
      const profile: SecurityProfile = searchParams.get("profile") === "standard" ? "standard" : "dev";
      const options: ConformanceOptions = {
        name: engine === undefined ? "built" : "isolates",
        open: (settings) => createRuntime({ ...settings, backend: own }),
        guests,
        profile,
        canary,
      };
      const [verdict] = await runConformance(options, { only: [searchParams.get("case") ?? ""] });
      if (verdict === undefined) return new Response("there is no verdict", { status: 500 });
      const why = verdict.outcome === "failed" ? `${verdict.error.stack}` : verdict.outcome === "skipped" ? verdict.reason : undefined;
      return Response.json({ outcome: verdict.outcome, why } satisfies CaseAnswer);
    },
  };
}
