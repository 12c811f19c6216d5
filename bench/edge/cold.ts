import { codes } from "toolruntime:codes";

interface Loader {
  get(id: string, code: () => Promise<object>): { getEntrypoint(): { fetch(url: string): Promise<Response> } };
}

/** Starts one of the workers in an isolate that is new, and times its first answer. */
export default {
  async fetch(request: Request, { LOADER: loader }: { readonly LOADER: Loader }): Promise<Response> {
    const { searchParams } = new URL(request.url);
    const name = searchParams.get("name") ?? "";
    const code = codes[name] ?? "";
    const worker = {
      compatibilityDate: "2026-04-01",
      compatibilityFlags: ["enable_request_signal"],
      mainModule: "worker.js",
      modules: { "worker.js": code },
      env: { TOOLRUNTIME_TOKENS: JSON.stringify([{ token: "0123456789abcdef", principal: "bench" }]) },
      globalOutbound: null,
    };
    const times: number[] = [];
    for (let count = 0; count < Number(searchParams.get("count")); count++) {
      const startedAt = performance.now();
      const response = await loader
        .get(crypto.randomUUID(), async () => worker)
        .getEntrypoint()
        .fetch(`http://localhost${searchParams.get("path")}`);
      const text = await response.text();
      times.push(performance.now() - startedAt);
      if (response.status !== 200) return new Response(text, { status: 500 });
    }
    return Response.json(times);
  },
};
