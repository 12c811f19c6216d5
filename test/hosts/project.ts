import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const modules = join(root, "node_modules");

/** A folder of its own, removed when it is disposed. */
export interface Project extends Disposable {
  readonly folder: string;
}

export type Example = "bun" | "deno" | "aws-lambda" | "vercel";

/** What npm would pack of this repository, built anew. */
export function buildPackage(): Project {
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-package-"));
  const close = (): void => rmSync(folder, { recursive: true, force: true });
  cpSync(join(root, "package.json"), join(folder, "package.json"));
  const tsc = join(modules, "typescript", "bin", "tsc");
  const args = [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", join(folder, "dist")];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (existsSync(join(folder, "dist", "index.js"))) return { folder, [Symbol.dispose]: close };
  close();
  throw new Error(`the package was not built: ${stdout}${stderr}`);
}

/** Copies sample tools, and makes one of a module of the tests that never ends. */
function copyTools(into: string): void {
  for (const name of ["hash", "markdown-to-html", "text-stats"]) {
    cpSync(join(root, "examples", "tools", name), join(into, name), { recursive: true });
  }
  const endless = join(into, "endless");
  mkdirSync(endless);
  cpSync(join(root, "test", "abuse", "modules", "loop.wasm"), join(endless, "loop.wasm"));
  const manifest = {
    name: "endless",
    version: "1.0.0",
    description: "Never ends",
    inputSchema: true,
    artifacts: { wasm: { file: "loop.wasm", abi: "wasi-p1" } },
  };
  writeFileSync(join(endless, "tool.json"), JSON.stringify(manifest));
}

/** Puts an example into a folder of its own, with the package, Hono and some tools. */
export function openProject(example: Example, built: Project): Project {
  const folder = mkdtempSync(join(tmpdir(), `toolruntime-${example}-`));
  cpSync(join(root, "examples", example), folder, { recursive: true });
  const installed = join(folder, "node_modules");
  cpSync(built.folder, join(installed, "toolruntime"), { recursive: true });
  symlinkSync(modules, join(installed, "toolruntime", "node_modules"));
  symlinkSync(join(modules, "hono"), join(installed, "hono"));
  copyTools(join(folder, "tools"));
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
