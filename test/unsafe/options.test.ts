import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { unsafe } from "../../src/backends/unsafe/index.ts";
import { createRuntime, ToolRuntimeError } from "../../src/index.ts";
import { codeOf, commandTool, openBench, shell } from "./support.ts";

describe("unsafe options", () => {
  it("are refused without the explicit opt-in", () => {
    let warned = 0;
    const create = (): unknown => unsafe({ acceptUnsafe: false, warn: () => warned++ });
    expect(create).toThrowError(ToolRuntimeError);
    expect(create).toThrowError(expect.objectContaining({ code: "ERR_CONFIG_INVALID", message: expect.stringContaining("acceptUnsafe") }));
    expect(warned).toBe(0);
  });

  it("warn once, when the backend is created", async () => {
    const lines: string[] = [];
    const { runtime } = openBench({ warn: (line) => lines.push(line) });
    await runtime.execute({ tool: await shell(":") });
    await runtime.execute({ tool: await shell(":") });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("without a sandbox");
  });

  it("serve no profile but dev", async () => {
    const { backend } = openBench();
    for (const security of ["standard", "hardened"] as const) {
      const runtime = createRuntime({ backend, security });
      expect(await codeOf(runtime.execute({ tool: await shell("echo ran") }))).toBe("ERR_PROFILE_UNSUPPORTED");
    }
    const dev = createRuntime({ backend, security: "dev" });
    expect(await codeOf(dev.execute({ tool: await shell("echo ran"), security: "standard" }))).toBe("ERR_PROFILE_UNSUPPORTED");
  });

  it("make a scratch folder that others may write to a reason to be unavailable", async () => {
    const scratch = mkdtempSync(join(tmpdir(), "toolruntime-test-"));
    chmodSync(scratch, 0o777);
    const backend = unsafe({ acceptUnsafe: true, warn: () => undefined, scratch });
    const probe = await backend.probe();
    expect(probe.status).toBe("unavailable");
    expect(probe.reason).toContain(scratch);
    const runtime = createRuntime({ backend, security: "dev" });
    expect(await codeOf(runtime.execute({ tool: await commandTool(["true"]) }))).toBe("ERR_BACKEND_UNAVAILABLE");
    await backend.close();
    rmSync(scratch, { recursive: true });
  });

  it("say in the probe what the backend does not do", async () => {
    const probe = await openBench().backend.probe();
    expect(probe.capabilities).toMatchObject([{ artifact: "command", profiles: ["dev"], isolation: "none", network: "unfiltered" }]);
    expect(probe.capabilities[0]?.limits).not.toHaveProperty("disk");
    expect(probe.notes?.join("\n")).toContain("There is no wall");
  });

  it("say in the probe, and in the receipt, that descendants may escape where no cgroup is used", async () => {
    const { backend, runtime } = openBench({ processTree: "group" });
    const probe = await backend.probe();
    expect(probe.notes?.join("\n")).toContain("descendants may escape");
    expect(Object.keys(probe.capabilities[0]?.limits ?? {})).toEqual(["timeout"]);
    const { limits } = await runtime.execute({ tool: await shell(":") });
    for (const limit of ["timeout", "processes"]) {
      expect(limits.find((receipt) => receipt.limit === limit)?.note).toContain("may escape");
    }
    expect(limits.find(({ limit }) => limit === "memory")).toMatchObject({ enforcedBy: "none", hit: "no" });
    expect(await codeOf(runtime.execute({ tool: await shell(":"), resources: { memory: "64Mi" } }))).toBe("ERR_LIMIT_UNENFORCEABLE");
  });
});
