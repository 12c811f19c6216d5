import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unstable_readConfig } from "wrangler";
import { openApiDocument } from "../../scripts/openapi.ts";
import { createApp } from "../../src/edge/index.ts";
import { createRegistry, memoryBlobStore, memoryExecutionStore, createRuntime } from "../../src/index.ts";
import { builtWasm } from "../../src/wasm/built.ts";
import { bundleWorker } from "../../bench/edge/bundle.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);
const environments = ["", "staging", "production"];
const maxBundleBytes = 120_000;

/** As much of a configuration as is compared. */
interface Configuration {
  readonly durable_objects: { readonly bindings: readonly object[] };
  readonly r2_buckets: readonly { readonly binding: string; readonly bucket_name?: string }[];
  readonly ratelimits: readonly { readonly name: string }[];
  readonly migrations: readonly object[];
  readonly limits?: object;
  readonly observability?: { readonly enabled?: boolean };
  readonly compatibility_flags: readonly string[];
  readonly vars: Readonly<Record<string, unknown>>;
}

function configOf(environment: string): Configuration {
  return unstable_readConfig({ config: join(root, "wrangler.toml"), ...(environment === "" ? {} : { env: environment }) });
}

describe("wrangler.toml", () => {
  let out: string;
  beforeAll(async () => {
    out = await mkdtemp(join(tmpdir(), "toolruntime-deploy-"));
  });
  afterAll(() => rm(out, { recursive: true }));

  it.each(environments)(
    'is taken by a dry run for the environment "%s", without a warning',
    async (environment) => {
      const args = ["wrangler", "deploy", "--dry-run", `--env=${environment}`, "--outdir", out];
      const env = { ...process.env, WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false", NO_COLOR: "1" };
      const { stdout, stderr } = await run("npx", ["--no-install", ...args], { cwd: root, env });
      expect(stdout).toContain("--dry-run: exiting now.");
      for (const binding of ["EXECUTIONS", "ARTIFACTS", "RATE_LIMIT", "TOOLRUNTIME_SECURITY"]) expect(stdout).toContain(`env.${binding} `);
      expect(`${stdout}\n${stderr}`).not.toMatch(/\[WARNING\]|\[ERROR\]|▲|✘/);
      expect(/["']node:/.test(await readFile(join(out, "worker.js"), "utf8"))).toBe(false);
    },
    120_000,
  );

  it("names in each environment what is bound without one", () => {
    const facts = environments.map((environment) => {
      const { durable_objects, r2_buckets, ratelimits, migrations, limits, observability, compatibility_flags } = configOf(environment);
      return {
        objects: durable_objects.bindings,
        buckets: r2_buckets.map(({ binding }) => binding),
        limiters: ratelimits.map(({ name }) => name),
        migrations,
        limits,
        observed: observability?.enabled,
        compatibility_flags,
      };
    });
    expect(facts[0]?.objects).toHaveLength(1);
    expect(facts[1]).toEqual(facts[0]);
    expect(facts[2]).toEqual(facts[0]);
    const shared = environments.flatMap((environment) => configOf(environment).r2_buckets.map(({ bucket_name: name }) => name));
    expect(new Set(shared).size).toBe(environments.length);
  });

  it("deploys no worker that answers without a token", () => {
    const profiles = environments.map((environment) => configOf(environment).vars["TOOLRUNTIME_SECURITY"]);
    expect(profiles).toEqual(["dev", "standard", "standard"]);
  });
});

describe("the worker's bundle", () => {
  it(`is at most ${maxBundleBytes / 1000} kB gzip without tools`, async () => {
    const main = 'export { default } from "../../src/edge/worker.ts"; export * from "../../src/edge/worker.ts";';
    const code = await bundleWorker({ main, folder: fileURLToPath(new URL(".", import.meta.url)), minify: true });
    const { length } = gzipSync(code, { level: 9 });
    console.log(`The worker without tools: ${(length / 1000).toFixed(1)} kB gzip, ${(code.length / 1000).toFixed(0)} kB`);
    expect(length).toBeLessThanOrEqual(maxBundleBytes);
    // What makes the document, checks modules and meters them is for those who build.
    expect(["uniqueSymbol", "hono-openapi", "WebAssembly.validate"].filter((foreign) => code.includes(foreign))).toEqual([]);
  });
});

describe("src/edge/openapi.json", () => {
  it('is what "node scripts/openapi.ts" writes', async () => {
    const written: unknown = JSON.parse(await readFile(join(root, "src/edge/openapi.json"), "utf8"));
    expect(written).toEqual(JSON.parse(await openApiDocument()));
  });

  it("describes each route that there is, and no other", async () => {
    const runtime = createRuntime({ backend: builtWasm(), security: "dev" });
    const metrics = { requestEnded() {}, executionEnded() {}, expose: async () => ({ contentType: "text/plain", text: "" }) };
    const stores = { blobs: memoryBlobStore(), executions: memoryExecutionStore(), tools: createRegistry() };
    const app = createApp({ runtime, ...stores, metrics, authenticate: () => undefined, hosts: "any" });
    const served = app.routes.filter(({ method }) => method !== "ALL").map(({ method, path }) => `${method.toLowerCase()} ${path}`);
    const { paths } = JSON.parse(await openApiDocument()) as { readonly paths: Readonly<Record<string, object>> };
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`),
    );
    expect([...described, "get /openapi.json"].toSorted()).toEqual(served.toSorted());
  });
});
