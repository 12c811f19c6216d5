import type { Settings } from "./options.ts";

/**
 * The text of `GET /openapi.json`. `scripts/openapi.ts` writes the document from the schemas of `wire`, so that no service
 * has to carry what makes it.
 */
export function openApi({ version, metrics }: Settings): () => Promise<string> {
  let text: string | undefined;
  return async () => {
    if (text !== undefined) return text;
    const { default: document } = await import("./openapi.json", { with: { type: "json" } });
    const { "/metrics": metricsPath, ...paths } = document.paths;
    const served = metrics === undefined ? paths : { ...paths, "/metrics": metricsPath };
    text = JSON.stringify({ ...document, info: { ...document.info, version }, paths: served });
    return text;
  };
}
