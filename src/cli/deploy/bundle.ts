import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve, sep } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { gzipSync } from "node:zlib";
import { formatLimit } from "../../limits.ts";
import { maxScriptGzipBytes, platform } from "./contract.ts";
import { advice, ok, problem, type Finding } from "./finding.ts";
import { quietEnvironment, type Wrangler } from "./wrangler.ts";

export interface BundleOptions {
  readonly wrangler: Wrangler;
  /** The configuration, absolute. */
  readonly file: string;
  readonly environment: string;
  /** Where the tools' JavaScript is, which does not count against our own budget. */
  readonly index: string | undefined;
}

const check = "bundle";
const metaName = "meta.json";

/** Has wrangler build the worker and check it as for a deployment, and looks at what came out. */
export async function checkBundle(options: BundleOptions): Promise<Finding[]> {
  const out = await mkdtemp(join(tmpdir(), "toolruntime-deploy-"));
  try {
    const { code, text } = await runWrangler(options, out);
    const warnings = warningsIn(text).map((says) => advice({ check: "wrangler", says }));
    if (code !== 0) return [problem({ check: "wrangler deploy --dry-run", says: errorsIn(text) }), ...warnings];
    return [ok("wrangler deploy --dry-run", "clean"), ...warnings, ...(await checkSizes(out, options))];
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

function runWrangler(
  { wrangler, file, environment }: BundleOptions,
  out: string,
): Promise<{ readonly code: number | null; readonly text: string }> {
  const args = [
    wrangler.bin,
    "deploy",
    "--dry-run",
    `--env=${environment}`,
    "--config",
    file,
    "--outdir",
    out,
    "--metafile",
    join(out, metaName),
  ];
  const child = spawn(process.execPath, args, {
    cwd: dirname(file),
    env: { ...process.env, ...quietEnvironment, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (text += String(chunk)));
  return new Promise((settle, reject) => {
    child.on("error", reject);
    child.on("close", (code) => settle({ code, text: stripVTControlCharacters(text) }));
  });
}

/** The messages of a kind, each in one line: wrangler sets what belongs to one off with spaces. */
function messagesIn(text: string, kind: "ERROR" | "WARNING"): string[] {
  return text
    .split(/^(?=\S)/m)
    .filter((block) => block.includes(`[${kind}]`))
    .map((block) =>
      block
        .slice(block.indexOf(`[${kind}]`) + kind.length + 2)
        .replaceAll(/\s+/g, " ")
        .trim()
        .slice(0, 500),
    );
}

function warningsIn(text: string): string[] {
  return messagesIn(text, "WARNING");
}

function errorsIn(text: string): string {
  const errors = messagesIn(text, "ERROR");
  return errors.length > 0 ? errors.join("; ") : `it failed: ${text.trim().split("\n").slice(-3).join(" ").slice(0, 500)}`;
}

async function checkSizes(out: string, options: BundleOptions): Promise<Finding[]> {
  const names = (await readdir(out, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !/\.map$|^README\.md$/.test(entry.name) && entry.name !== metaName)
    .map((entry) => join(entry.parentPath, entry.name));
  const files = await Promise.all(names.map(async (name) => ({ name, bytes: await readFile(name) })));
  const total = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const scripts = files.filter(({ name }) => /\.m?js$/.test(name)).map(({ bytes }) => gzipSync(bytes, { level: 9 }).length);
  const share = 1 - (await toolsShare(out, options));
  return [checkTotal(total), checkScript(Math.round(scripts.reduce((sum, size) => sum + size, 0) * share))];
}

function checkTotal(bytes: number): Finding {
  const size = formatLimit("memory", bytes);
  if (bytes <= platform.maxBundleBytes)
    return ok(check, `${size}, modules of tools included; the platform takes ${formatLimit("memory", platform.maxBundleBytes)}`);
  return problem({
    check,
    says: `${size}: the platform takes ${formatLimit("memory", platform.maxBundleBytes)}`,
    next: "deploy fewer tools with the worker, and put the others into its bucket",
  });
}

function checkScript(gzipBytes: number): Finding {
  const size = `about ${Math.ceil(gzipBytes / 1000)} kB of JavaScript (gzip) without tools`;
  const budget = maxScriptGzipBytes / 1000;
  if (gzipBytes <= maxScriptGzipBytes) return ok(check, `${size}, of ${budget}`);
  return advice({
    check,
    says: `${size}, over the ${budget} that start fast`,
    next: "minify = true, and no imports that the worker does not need",
  });
}

interface Metafile {
  readonly outputs: Readonly<Record<string, { readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>> }>>;
}

/** The part of the JavaScript that came from the built tools: their manifests, and the scripts of components. */
async function toolsShare(out: string, { file, index }: BundleOptions): Promise<number> {
  const text = await readFile(join(out, metaName), "utf8").catch(() => undefined);
  if (text === undefined || index === undefined) return 0;
  const { outputs } = JSON.parse(text) as Metafile;
  const folder = `${dirname(index)}${sep}`;
  const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs));
  const sizeOf = (some: typeof inputs): number => some.reduce((sum, [, { bytesInOutput }]) => sum + bytesInOutput, 0);
  const own = inputs.filter(([path]) => resolve(dirname(file), path).startsWith(folder));
  return inputs.length === 0 ? 0 : sizeOf(own) / sizeOf(inputs);
}
