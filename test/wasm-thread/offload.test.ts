import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { createRuntime } from "../../src/index.ts";
import { loadTool } from "../../src/internal/node/tool-folder.ts";
import { BinaryError, BoundError } from "../../src/wasm/binary.ts";
import { wasm } from "../../src/wasm/index.ts";
import { meterModule } from "../../src/wasm/meter/index.ts";
import { threadOffload } from "../../src/wasm/thread/index.ts";

const example = (path: string): URL => new URL(`../../examples/tools/${path}`, import.meta.url);

describe("metering in a thread", () => {
  it("gives what metering here gives", async () => {
    const bytes = await readFile(example("text-diff/text-diff.wasm"));
    const options = { memory: "import", start: "export", initialFuel: 1000, wait: true } as const;
    expect(await threadOffload()(bytes, options)).toEqual(meterModule(bytes, options));
  });

  it("throws what metering here throws", async () => {
    const offload = threadOffload();
    const bytes = await readFile(example("text-diff/text-diff.wasm"));
    const failures = await Promise.allSettled([
      offload(Uint8Array.of(1, 2, 3), {}),
      offload(bytes, { bounds: { functions: 1 } }),
      offload(bytes, {}),
    ]);
    expect(failures.map((one) => (one.status === "rejected" ? one.reason : "metered"))).toEqual([
      expect.any(BinaryError),
      expect.any(BoundError),
      "metered",
    ]);
  });

  it("is what the backend does with large modules, and with them alone", async () => {
    const sizes: number[] = [];
    const inThread = threadOffload();
    const backend = wasm({
      offload: (bytes, options) => {
        sizes.push(bytes.length);
        return inThread(bytes, options);
      },
    });
    await using runtime = createRuntime({ backend, security: "standard", resources: { memory: "64Mi" } });
    const small = await runtime.execute({ tool: await loadTool(example("hash").pathname), input: { text: "hello" } });
    expect([small.exitCode, sizes]).toEqual([0, []]);
    const tool = await loadTool(example("sqlite-query").pathname);
    // It has no database, and says so by itself: it ran.
    const large = await runtime.execute({ tool, input: { database: "none.db", sql: "select 1" } });
    expect([large.exit.kind, sizes.length]).toEqual(["exited", 1]);
    expect(sizes[0]).toBeGreaterThan(256 * 1024);
    await backend.close();
  });
});
