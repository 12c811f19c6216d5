import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

test("a run in a process of its own prints no warning", async () => {
  const script = `
    import { ready, runOnce } from "./test/wasm-extism/support.ts";
    const { stdout } = await runOnce(await ready("calls"), { input: "ping" });
    console.log(stdout);
  `;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], { cwd: root });
  expect(stdout).toBe("ping\n");
  expect(stderr).toBe("");
});

test("bundles for workerd with no import of Node or of the SDK", async () => {
  const { metafile } = await build({
    entryPoints: [`${root}src/wasm/extism/plugin.ts`],
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    conditions: ["workerd", "worker", "browser"],
    mainFields: ["module", "main"],
    external: ["node:*"],
    metafile: true,
    logLevel: "silent",
  });
  const imports = Object.values(metafile.outputs).flatMap(({ imports: found }) => found.map(({ path }) => path));
  expect(imports).toEqual([]);
  expect(Object.keys(metafile.inputs).filter((path) => path.includes("node_modules"))).toEqual([]);
});
