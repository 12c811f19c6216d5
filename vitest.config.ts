import { argv, env } from "node:process";
import { defineConfig } from "vitest/config";

/** What takes minutes, asks the same of more engines, or asks the same again through another way: `.ci/run` has all of it. */
const leftToCi = [
  "test/conformance/{wrong,docker,containerd,gvisor}.test.ts",
  "test/remote/conformance.test.ts",
  "test/edge-abuse/*.test.ts",
  "test/edge-worker/{deploy,reset,store}.test.ts",
  "test/wasm-loader/{abuse,conformance,hostile}.test.ts",
  "test/wasm-build/workerd.test.ts",
  "test/wasm-javascript/{abuse,engines}.test.ts",
  "test/engines/*.test.ts",
  "test/abuse/{containerd,docker,gvisor,unsafe,wasm-mutations,teeth,service-slow,service-disconnect}.test.ts",
  "test/client/engines.test.ts",
  "test/hosts/*.test.ts",
  "test/fleet/*.test.ts",
  "test/remote/pool.test.ts",
  "test/edge/{batch-crash,overload}.test.ts",
  "test/executor/{node,reaper}.test.ts",
  "test/tools/native.test.ts",
  "test/cli/{deploy,prove}.test.ts",
];
/** Whoever names a file means it. */
const isWhole = env["TOOLRUNTIME_WHOLE"] === "1" || argv.some((word) => word.startsWith("test/"));
if (!isWhole) console.log(`Left to .ci/run (or set TOOLRUNTIME_WHOLE=1): ${leftToCi.join(", ")}`);

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: isWhole ? [] : leftToCi,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
