import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Report } from "../../src/cli/deploy/cloudflare.ts";
import { cli, root } from "./support.ts";

/** A project of its own: a configuration, a worker, and this repository's wrangler. */
function openProject(files: Readonly<Record<string, string>>, hasWrangler = true): string {
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-deploy-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  if (hasWrangler) symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** Wrangler bundles a worker for most of these, and some seconds are little for it. */
const slowMs = 120_000;

const worker = 'export default { fetch: () => new Response("ok") };\n';
const plain = 'name = "tools"\nmain = "worker.mjs"\ncompatibility_date = "2026-11-01"\ncompatibility_flags = ["enable_request_signal"]\n';

async function check(cwd: string, ...args: readonly string[]): Promise<{ readonly code: number | null; readonly report: Report }> {
  const { code, stdout, stderr } = await cli(["deploy", "cloudflare", "--dry-run", "--json", ...args], { cwd });
  if (stdout === "") throw new Error(stderr);
  return { code, report: JSON.parse(stdout) };
}

function problemsOf({ findings }: Report): string[] {
  return findings.filter(({ status }) => status === "problem").map(({ check: what, says }) => `${what}: ${says}`);
}

describe("toolruntime deploy cloudflare --dry-run", () => {
  test(
    "finds no problem in this repository's own configuration",
    async () => {
      const { code, report } = await check(root, "--env", "production");
      expect(problemsOf(report)).toEqual([]);
      expect(code).toBe(0);
      expect(report.environments).toEqual(["production"]);
      const found = report.findings.map(({ check: what, status }) => `${status} ${what}`);
      expect(found).toEqual(
        expect.arrayContaining(["ok wrangler", "ok wrangler deploy --dry-run", "ok bundle", "ok tools", "ok ARTIFACTS", "ok EXECUTIONS"]),
      );
      expect(report.findings.find(({ check: what }) => what === "TOOLRUNTIME_TOKENS")?.next).toContain("secret put");
    },
    slowMs,
  );

  test(
    "looks at each environment for itself: bindings are not inherited",
    async () => {
      const bucket = '[[r2_buckets]]\nbinding = "ARTIFACTS"\nbucket_name = "files"\n[env.staging]\n';
      const { report } = await check(openProject({ "wrangler.toml": plain + bucket, "worker.mjs": worker }));
      const artifacts = report.findings.filter(({ check: what }) => what === "ARTIFACTS");
      expect(artifacts.map(({ environment, status }) => [environment, status])).toEqual([
        ["", "ok"],
        ["staging", "advice"],
      ]);
    },
    slowMs,
  );

  test(
    "says every problem of a configuration, and ends with 1",
    async () => {
      const wrong = `${plain.replace('compatibility_flags = ["enable_request_signal"]\n', "")}
[vars]
TOOLRUNTIME_TOKENS = "[]"
[[durable_objects.bindings]]
name = "EXECUTIONS"
class_name = "Executions"
`;
      const { code, report } = await check(openProject({ "wrangler.toml": wrong, "worker.mjs": worker }));
      expect(code).toBe(1);
      const checks = problemsOf(report).map((text) => text.slice(0, text.indexOf(":")));
      expect(checks).toEqual(expect.arrayContaining(["compatibility_flags", "vars.TOOLRUNTIME_TOKENS", "EXECUTIONS", "tools"]));
    },
    slowMs,
  );

  test(
    "hands on what wrangler has against the worker, and against the file",
    async () => {
      const broken = await check(openProject({ "wrangler.toml": plain, "worker.mjs": 'import "./missing.mjs";\n' }));
      expect([broken.code, problemsOf(broken.report).join()]).toEqual([1, expect.stringContaining("missing.mjs")]);
      const unreadable = await check(openProject({ "wrangler.toml": 'name = "x\n' }));
      expect([unreadable.code, problemsOf(unreadable.report)]).toEqual([1, [expect.stringContaining("TOML")]]);
      const unknown = await check(openProject({ "wrangler.toml": `${plain}bogus = 1\n`, "worker.mjs": worker }));
      expect(unknown.report.findings.filter(({ status }) => status === "advice").map(({ says }) => says)).toContainEqual(
        expect.stringContaining('"bogus"'),
      );
      const elsewhere = await check(openProject({ "wrangler.toml": plain, "worker.mjs": worker }), "--env", "nowhere");
      expect(problemsOf(elsewhere.report)).toEqual([expect.stringContaining("nowhere")]);
    },
    slowMs,
  );

  test("says that wrangler is missing", async () => {
    const { code, report } = await check(openProject({ "wrangler.toml": plain }, false));
    expect([code, problemsOf(report)]).toEqual([1, [expect.stringContaining("it is not installed")]]);
  });

  test(
    "prints findings as a table where no JSON is asked for",
    async () => {
      const { stdout, code } = await cli(["deploy", "cloudflare", "--dry-run"], {
        cwd: openProject({ "wrangler.toml": plain, "worker.mjs": worker }),
      });
      expect(stdout).toMatch(/^ok +compatibility_date +2026-11-01$/m);
      expect(stdout).toMatch(/^problem +tools +"toolruntime:tools" is not in \[alias\]$/m);
      expect(stdout).toContain("1 problem, ");
      expect(code).toBe(1);
    },
    slowMs,
  );
});

test("ends with an error where there is no configuration", async () => {
  const { code, stderr } = await cli(["deploy", "cloudflare", "--dry-run"], { cwd: openProject({}) });
  expect([code, stderr]).toEqual([1, expect.stringContaining("ERR_CONFIG_INVALID")]);
});

test("without --dry-run deploys nothing, says so, and prints the commands", async () => {
  const { code, stdout, stderr } = await cli(["deploy", "cloudflare", "--env", "staging"]);
  expect(stderr).toContain("does not deploy by itself");
  expect(stdout).toContain("npx wrangler deploy --env staging\n");
  expect(stdout).toContain("npx wrangler r2 bucket create toolruntime-artifacts-staging\n");
  expect(code).toBe(1);
});

describe("the built tools", () => {
  const aliased = `${plain}[alias]\n"toolruntime:tools" = "./built/index.js"\n`;

  /** A project with the tool "hash" and what was built of it. */
  async function openBuilt(): Promise<string> {
    const folder = openProject({ "wrangler.toml": aliased, "worker.mjs": worker });
    cpSync(join(root, "examples", "tools", "hash"), join(folder, "tools", "hash"), { recursive: true });
    const { code, stderr } = await cli(["build", "--tools", "tools", "--out", "built"], { cwd: folder });
    expect([code, stderr]).toEqual([0, ""]);
    return folder;
  }

  const manifestOf = (folder: string): string => join(folder, "tools", "hash", "tool.json");

  async function problems(folder: string): Promise<string[]> {
    const { report } = await check(folder, "--tools", "tools");
    return problemsOf(report);
  }

  test(
    "are as their manifests say, until something changes",
    async () => {
      const folder = await openBuilt();
      expect(await problems(folder)).toEqual([]);
      const text = readFileSync(manifestOf(folder), "utf8");
      writeFileSync(manifestOf(folder), text.replace('"description": "', '"description": "Other. '));
      expect(await problems(folder)).toEqual([expect.stringContaining("hash@1.0.0 was built of another manifest")]);
      writeFileSync(manifestOf(folder), text);
      const wasm = join(folder, "tools", "hash", "hash.wasm");
      writeFileSync(wasm, Buffer.concat([readFileSync(wasm), Buffer.of(0, 1, 0)]));
      expect(await problems(folder)).toEqual([expect.stringMatching(/hash@1\.0\.0: its manifest names sha256:.+, its module is sha256:/)]);
    },
    slowMs,
  );

  test(
    "are all there",
    async () => {
      const folder = await openBuilt();
      rmSync(join(folder, "built", "hash-1.0.0", "main.wasm"));
      expect(await problems(folder)).toEqual([expect.stringContaining("hash-1.0.0/main.wasm is missing")]);
      writeFileSync(join(folder, "built", "index.js"), "export const tools = [];\n");
      expect(await problems(folder)).toEqual([expect.stringContaining('is not as "toolruntime build" leaves it')]);
      rmSync(join(folder, "built"), { recursive: true });
      mkdirSync(join(folder, "built"));
      expect(await problems(folder)).toEqual([expect.stringContaining("nothing is built")]);
    },
    slowMs,
  );
});
