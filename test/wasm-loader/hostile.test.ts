import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, findBinary } from "../../bench/engines.ts";
import type { Resources } from "../../src/index.ts";
import { emptyCommand } from "../abuse/modules/binary.ts";
import { residentBytes } from "../engines/workerd/oracle.ts";
import { openService, type Answer, type Service } from "./support.ts";

/** Fakes stand at the wire: the service is the real one, and so are the binding and the isolates. */
const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

let service: Service;

beforeAll(async () => {
  if (isMissing) return;
  const engine = await bundle('export { isolate } from "./hostile.ts";', fileURLToPath(new URL("fakes", import.meta.url)));
  service = await openService({ engine });
});
afterAll(async () => {
  if (!isMissing) await service[Symbol.asyncDispose]();
});

async function attack(name: string, { resources, deadline = "5s" }: { resources?: Resources; deadline?: string } = {}): Promise<Answer> {
  const manifest = { name, version: "1.0.0", description: "An attack", inputSchema: true, artifacts: { wasm: {} } };
  await service.add({ manifest, base64: Buffer.from(emptyCommand()).toString("base64") });
  return service.run({ tool: name, security: "standard", deadline, ...(resources === undefined ? {} : { resources }) });
}

describe.skipIf(isMissing)("a hostile isolate", () => {
  it("is taken for an honest one as long as it keeps to the protocol", async () => {
    const { result } = await attack("honest");
    expect([result?.stdout, result?.exitCode]).toEqual(["well", 0]);
  });

  it.each([
    "junk",
    "oversize-output",
    "oversize-file",
    "oversize-json",
    "half-frame-and-end",
    "empty-output",
    "output-first",
    "starts-twice",
    "other-run",
    "ends-at-once",
    "ends-without-report",
    "commands-the-service",
    "leads-elsewhere",
    "too-many-files",
    "no-json",
    "no-utf8",
    "strange-report",
    "claims-a-signal",
    "prototype",
    "unknown-code",
    "breaks",
    "throws-at-load",
    "throws",
    "hangs",
    "status",
    "no-body",
    "out-of-memory",
  ])("is left and reported: %s", async (name) => {
    const { error } = await attack(name);
    expect([error?.code, error?.["retryable"], error?.["backend"]]).toEqual(["ERR_BACKEND_FAILED", true, "wasm"]);
    expect(error?.["message"]).toContain(`Cannot run the tool "${name}" in an isolate`);
    // What it says by itself is in no message.
    expect(error?.["message"]).not.toMatch(/not to be|not today/);
    expect((await attack("honest")).result?.stdout).toBe("well");
  });

  it("that the platform has ended says by which limit", async () => {
    const { error } = await attack("out-of-time", { resources: { cpuTime: 500 } });
    expect(error?.code).toBe("ERR_LIMIT_CPU_TIME");
    const receipt = error?.partial?.limits.find(({ limit }) => limit === "cpuTime");
    expect(receipt).toMatchObject({ requested: 500, applied: 750, enforcedBy: "platform", hit: "yes" });
    expect((await attack("out-of-time")).error?.code).toBe("ERR_LIMIT_TIMEOUT");
    expect((await attack("out-of-memory")).error?.details).toMatchObject({ platform: "memory" });
  });

  it("that writes without end is held to the output limit, and the service's memory to what it keeps", async () => {
    const before = residentBytes(service.worker.pid);
    const { error } = await attack("endless-output", { resources: { output: "64Ki" } });
    expect(error?.code).toBe("ERR_LIMIT_OUTPUT");
    expect(error?.partial?.stdout.length).toBe(64 * 1024);
    expect(residentBytes(service.worker.pid) - before).toBeLessThan(64 * 2 ** 20);
  });

  it.each(["never-starts", "never-ends", "half-frame"])("that does not answer is ended with the deadline: %s", async (name) => {
    const { error, tookMs } = await attack(name, { deadline: "300ms" });
    expect(error?.code).toBe("ERR_DEADLINE");
    expect(tookMs).toBeLessThan(3000);
  });

  it("that says it started and then nothing is ended with the run's time", async () => {
    const { error } = await attack("never-ends", { resources: { timeout: "150ms" } });
    expect(error?.code).toBe("ERR_LIMIT_TIMEOUT");
  });

  it("is told of the end, and its figures are taken", async () => {
    const { error } = await attack("told", { deadline: "200ms" });
    expect(error?.code).toBe("ERR_DEADLINE");
    expect(error?.partial?.limits.find(({ limit }) => limit === "memory")).toMatchObject({ source: "told" });
  });

  it("that goes on after its report has reported", async () => {
    expect((await attack("goes-on")).result?.stdout).toBe("well");
  });

  it("has no network, no binding and no way to make code", async () => {
    const { result } = await attack("explorer");
    const reach: Record<string, string> = JSON.parse(result?.stdout ?? "");
    for (const name of ["fetch", "websocket", "connect", "eval", "compile"])
      expect([name, reach[name]]).toEqual([name, expect.stringMatching(/^refused: /)]);
    expect(reach["fetch"]).toContain("not permitted to access the internet");
    expect(reach["env"]).toMatch(/^\{\}$|^refused/);
  });
});
