import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, it, onTestFinished } from "vitest";
import { runScript } from "../../bench/engines.ts";
import { createService, folderRegistry, parseConfig } from "../../src/adapters/executor/index.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

function examplesOf(page: string): string[] {
  return Array.from(readFileSync(`${root}/docs/${page}`, "utf8").matchAll(/```ts\n([^]*?)```/g), (match) => match[1] ?? "");
}

/** Bundles an example as one whose package is this repository. */
async function bundleExample(code: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: root, loader: "ts" },
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    alias: {
      "toolruntime/client": "./src/client.ts",
      "toolruntime/remote": "./src/adapters/remote/index.ts",
      toolruntime: "./src/index.ts",
    },
  });
  return outputFiles[0]?.text ?? "";
}

describe("docs/client.md and docs/remote.md", () => {
  it("have examples that run against a service with the sample tools", async () => {
    const tools = await folderRegistry({ folder: `${root}/examples/tools` });
    const service = await createService({
      config: parseConfig({ port: 0, security: "dev", log: { level: "silent" } }),
      tools,
    });
    onTestFinished(async () => {
      await service.close();
      await tools.close();
    });
    const { url } = await service.listen();
    const examples = [...examplesOf("client.md"), ...examplesOf("remote.md")];
    expect(examples.length).toBeGreaterThan(5);
    for (const example of examples) {
      const code = await bundleExample(example.replaceAll("http://127.0.0.1:8787", url));
      await expect(runScript("node", code, { timeoutMs: 20_000 })).resolves.toBeTypeOf("string");
    }
  });
});
