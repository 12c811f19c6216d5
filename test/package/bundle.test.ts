import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";

function entry(path: string): string {
  return fileURLToPath(new URL(`../../src/${path}`, import.meta.url));
}

/** Bundles an entry as a worker's bundler does. Optional peers stay outside: a service without them does not load them. */
async function bundle(path: string): Promise<{ text: string; outside: string[] }> {
  const { outputFiles, metafile } = await build({
    entryPoints: [entry(path)],
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["workerd", "worker", "browser", "import"],
    external: ["node:*"],
    logLevel: "silent",
  });
  const outside = Object.values(metafile.inputs)
    .flatMap(({ imports }) => imports)
    .filter(({ external }) => external === true)
    .map(({ path: name }) => name);
  return { text: outputFiles[0]?.text ?? "", outside: [...new Set(outside)] };
}

describe("bundles for workerd", () => {
  for (const path of ["index.ts", "client.ts", "adapters/remote/index.ts", "edge/index.ts", "wasm/index.ts", "wasm/meter/index.ts"]) {
    it(`src/${path} has no import of node:`, async () => {
      const { text, outside } = await bundle(path);
      expect(text.length).toBeGreaterThan(1000);
      // What is left are optional peers of the packages, which nothing here loads.
      expect(outside.filter((name) => name.startsWith("node:"))).toEqual([]);
    });
  }

  it("sees a node: import where there is one", async () => {
    const { outside } = await bundle("internal/node/tool-folder.ts");
    expect(outside.some((name) => name.startsWith("node:"))).toBe(true);
  });
});
