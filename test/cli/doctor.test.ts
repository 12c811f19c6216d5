import { expect, test } from "vitest";
import { cli } from "./support.ts";

test("says which backends are ready and what enforces each limit", async () => {
  const { code, stdout } = await cli(["doctor"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^wasm: ready/m);
  expect(stdout).toMatch(/memory +module/);
  expect(stdout).toMatch(/^unsafe: /m);
});

test("claims no profile whose demands a backend does not meet", async () => {
  const { stdout } = await cli(["doctor", "--json"]);
  const { backends, node } = JSON.parse(stdout);
  expect(node).toBe(process.version);
  expect(backends.map(({ name }: { name: string }) => name)).toEqual(["wasm", "unsafe", "docker", "containerd", "gvisor"]);
  const capabilities: readonly { serves: readonly string[]; limits: object }[] = backends.flatMap(
    (backend: { capabilities: [] }) => backend.capabilities,
  );
  const claimed = capabilities.filter(({ serves }) => serves.includes("standard"));
  const demanded = ["timeout", "memory", "processes", "disk"];
  expect(claimed.filter(({ limits }) => !demanded.every((limit) => limit in limits))).toEqual([]);
});
