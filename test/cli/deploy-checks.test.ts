import { describe, expect, test } from "vitest";
import { checkBindings, checkSharing } from "../../src/cli/deploy/bindings.ts";
import { checkPlatform, checkVersion } from "../../src/cli/deploy/platform.ts";
import { checkProfile, checkSecrets, checkVariables } from "../../src/cli/deploy/secrets.ts";
import { deploySteps } from "../../src/cli/deploy/steps.ts";
import type { WranglerConfig } from "../../src/cli/deploy/wrangler.ts";

const today = "2026-11-22";

const good: WranglerConfig = {
  name: "tools",
  main: import.meta.filename,
  compatibility_date: "2026-11-01",
  compatibility_flags: ["enable_request_signal"],
  alias: { "toolruntime:dynamic": "./loader.ts" },
  limits: { cpu_ms: 30_000 },
  observability: { enabled: true },
  vars: { TOOLRUNTIME_SECURITY: "standard" },
  worker_loaders: [{ binding: "LOADER" }],
  r2_buckets: [{ binding: "ARTIFACTS", bucket_name: "artifacts" }],
  durable_objects: { bindings: [{ name: "EXECUTIONS", class_name: "Executions" }] },
  migrations: [{ tag: "v1", new_sqlite_classes: ["Executions"] }],
  ratelimits: [{ name: "RATE_LIMIT", namespace_id: "1001", simple: { limit: 600, period: 60 } }],
};

/** What is not well, as `status check: words`. */
function complaints(change: Partial<WranglerConfig>): string[] {
  const config = { ...good, ...change };
  const found = [...checkPlatform(config, today), checkProfile(config), ...checkVariables(config), ...checkBindings(config)];
  return found.filter(({ status }) => status !== "ok").map(({ status, check, says }) => `${status} ${check}: ${says}`);
}

test("a configuration with all there is has nothing to complain of", () => {
  expect(complaints({})).toEqual([]);
});

/** What a worker without the loader is told that has none of it. */
const noLoader: Partial<WranglerConfig> = { worker_loaders: [], alias: {} };
const withoutLoader = "advice LOADER: no Worker Loader: tools that were not deployed with the worker go to nodes, or are refused";

const executions = { name: "EXECUTIONS", class_name: "Executions" };

describe("one mistake is one finding", () => {
  test.each<[string, string, Partial<WranglerConfig>]>([
    ["problem main", "there is none", { main: undefined }],
    ["problem main", "no file", { main: "/nowhere/worker.ts" }],
    ["problem compatibility_date", "there is none", { compatibility_date: undefined }],
    ["problem compatibility_date", "older", { compatibility_date: "2025-01-01" }],
    ["problem compatibility_date", "has not come yet", { compatibility_date: "2026-11-23" }],
    ["problem compatibility_flags", "enable_request_signal", { compatibility_flags: [] }],
    ["advice compatibility_flags", "nodejs_compat", { compatibility_flags: ["enable_request_signal", "nodejs_compat"] }],
    ["advice limits.cpu_ms", "30 s", { limits: undefined }],
    ["problem limits.cpu_ms", "300000", { limits: { cpu_ms: 300_001 } }],
    ["problem limits.cpu_ms", "0 ms", { limits: { cpu_ms: 0 } }],
    ["advice observability", "off", { observability: undefined }],
    ["problem TOOLRUNTIME_SECURITY", 'did you mean "standard"?', { vars: { TOOLRUNTIME_SECURITY: "standrad" } }],
    ["advice TOOLRUNTIME_SECURITY", "for this machine", { vars: { TOOLRUNTIME_SECURITY: "dev" } }],
    ["advice TOOLRUNTIME_SECURITY", "executor nodes", { vars: { TOOLRUNTIME_SECURITY: "hardened" } }],
    ["problem vars.TOOLRUNTIME_TOKENS", "for all to read", { vars: { TOOLRUNTIME_TOKENS: "[]" } }],
    ["problem vars.NODE_TOKEN", "for all to read", { vars: { NODE_TOKEN: "x" } }],
    ["problem vars.SIGNING_KEY", "for all to read", { vars: { SIGNING_KEY: "x" } }],
    ["problem vars.TOOLRUNTIME_ORIGIN", 'did you mean "TOOLRUNTIME_ORIGINS"?', { vars: { TOOLRUNTIME_ORIGIN: "https://a.example" } }],
    ["problem ARTIFACTS", 'bound as "BUCKET"', { r2_buckets: [{ binding: "BUCKET" }], ...noLoader }],
    ["problem LOADER", "built without", { alias: { "toolruntime:dynamic": "./no-dynamic.ts" } }],
    ["problem LOADER", "nothing", { alias: {} }],
    ["problem LOADER", 'bound as "LOADERS"', { worker_loaders: [{ binding: "LOADERS" }] }],
    ["advice LOADER", "cannot use it", { worker_loaders: [] }],
    ["advice EXECUTIONS", "no Durable Object", { durable_objects: { bindings: [] } }],
    ["problem EXECUTIONS", 'bound as "JOBS"', { durable_objects: { bindings: [{ name: "JOBS", class_name: "Executions" }] } }],
    ["problem EXECUTIONS", 'no class "Jobs"', { durable_objects: { bindings: [{ name: "EXECUTIONS", class_name: "Jobs" }] } }],
    ["problem EXECUTIONS", "no migration", { migrations: [] }],
    ["problem EXECUTIONS", "without SQLite", { migrations: [{ tag: "v1", new_classes: ["Executions"] }] }],
    [
      "problem EXECUTIONS",
      "no migration",
      {
        migrations: [
          { tag: "v1", new_sqlite_classes: ["Executions"] },
          { tag: "v2", deleted_classes: ["Executions"] },
        ],
      },
    ],
    ["advice RATE_LIMIT", "as often as", { ratelimits: [] }],
    [
      "problem RATE_LIMIT",
      "a period of 30 s",
      { ratelimits: [{ name: "RATE_LIMIT", namespace_id: "1", simple: { limit: 1, period: 30 } }] },
    ],
    ["problem RATE_LIMIT", "nobody", { ratelimits: [{ name: "RATE_LIMIT", namespace_id: "1", simple: { limit: 0, period: 60 } }] }],
  ])("%s: %s", (finding, words, change) => {
    const found = complaints(change).filter((one) => one !== withoutLoader);
    expect(found).toEqual([expect.stringMatching(new RegExp(`^${finding}: `))]);
    expect(found[0]).toContain(words);
  });

  test("no loader, and nothing that would use it", () => {
    expect(complaints(noLoader)).toEqual([withoutLoader]);
  });

  test("a loader without a bucket", () => {
    expect(complaints({ r2_buckets: [] })).toEqual([
      expect.stringContaining("advice ARTIFACTS"),
      expect.stringContaining("problem LOADER"),
    ]);
  });

  test.each([
    [
      { tag: "v1", new_sqlite_classes: ["Jobs"] },
      { tag: "v2", renamed_classes: [{ from: "Jobs", to: "Executions" }] },
    ],
    [
      { tag: "v1", new_sqlite_classes: ["Executions"] },
      { tag: "v2", new_classes: ["Other"] },
    ],
  ])("none where the migrations leave the class with SQLite", (...migrations) => {
    expect(complaints({ migrations })).toEqual([]);
  });

  test("none where another worker has the class", () => {
    expect(complaints({ migrations: [], durable_objects: { bindings: [{ ...executions, script_name: "other" }] } })).toEqual([]);
  });
});

test("environments that share a bucket, a counter or a name are told so", () => {
  const named = ["", "staging"].map((environment) => ({ environment, config: good }));
  expect(checkSharing(named).map(({ says }) => says)).toEqual([
    'the one without a name and staging share the worker name "tools"',
    'the one without a name and staging share the R2 bucket "artifacts"',
    'the one without a name and staging share the rate limit namespace "1001"',
  ]);
});

test.each([
  ["4.164.0", "ok"],
  ["5.0.0", "ok"],
  ["4.86.0", "ok"],
  ["4.85.9", "problem"],
  ["3.200.0", "problem"],
])("wrangler %s is %s", (version, status) => {
  expect(checkVersion(version).status).toBe(status);
});

test("each secret is named with the command that sets it", () => {
  const next = (environment: string): (string | undefined)[] => checkSecrets(good, environment).map((finding) => finding.next);
  expect(next("staging")).toEqual([
    "npx wrangler secret put TOOLRUNTIME_TOKENS --env staging",
    "npx wrangler secret put TOOLRUNTIME_NODES --env staging",
  ]);
  expect(next("")[0]).toBe('npx wrangler secret put TOOLRUNTIME_TOKENS --env=""');
  expect(checkSecrets({ ...good, vars: { TOOLRUNTIME_SECURITY: "dev" } }, "")).toEqual([]);
});

test("the steps of a deployment are those that its bindings need", () => {
  expect(deploySteps(good, "production")).toEqual([
    "npx wrangler login",
    "npx wrangler r2 bucket create artifacts",
    "npx wrangler deploy --env production",
    "npx wrangler secret put TOOLRUNTIME_TOKENS --env production",
  ]);
  expect(deploySteps({ ...good, r2_buckets: [] }, "production").join()).not.toContain("r2");
});
