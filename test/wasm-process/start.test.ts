import { describe, expect, it } from "vitest";
import { codeOf, openBench, probe } from "./support.ts";

describe("a program that is no child", () => {
  it("makes the driver unavailable, and says why", async () => {
    const { driver, pids } = openBench({ fake: "junk" });
    expect(await driver.probe()).toMatchObject({ status: "unavailable", reason: expect.stringContaining("broke the protocol") });
    expect(pids()).toEqual([]);
  });

  it("that never answers is given up with the caller's deadline, and killed with the driver", async () => {
    const { runtime } = openBench({ fake: "silent" });
    expect(await codeOf(runtime.execute({ tool: probe }, { deadline: "300ms" }))).toBe("ERR_DEADLINE");
  });
});
