import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { openBench, shell } from "./support.ts";

const root = join(import.meta.dirname, "../..");
const listing = "for f in /proc/$$/fd/*; do [ -L $f ] && echo ${f##*/} $(readlink $f); done";

/** A service that was started with descriptors of somebody else's open, and runs one tool. */
const service = `
  import { readdirSync } from "node:fs";
  import { createRuntime, defineTool } from "${root}/src/index.ts";
  import { unsafe } from "${root}/src/backends/unsafe/index.ts";
  const backend = unsafe({ acceptUnsafe: true, warn: () => {} });
  const runtime = createRuntime({ backend, security: "dev" });
  const argv = ["/bin/sh", "-c", ${JSON.stringify(listing)}];
  const tool = await defineTool({ name: "t", version: "1.0.0", description: "t", inputSchema: true, artifacts: { command: { argv } } });
  const { stdout } = await runtime.execute({ tool });
  const { notes } = await backend.probe();
  console.log(JSON.stringify({ own: readdirSync("/proc/self/fd").map(Number), stdout, notes }));
  await runtime.close();
  await backend.close();
`;

describe("the descriptors of a tool", () => {
  it("are 0, 1 and 2", async () => {
    const { stdout } = await openBench().runtime.execute({ tool: await shell(listing) });
    expect(stdout.split("\n").map((line) => line.split(" ")[0])).toEqual(["0", "1", "2", ""]);
  });

  it("are not those that the service has inherited", async () => {
    const fd = openSync("/etc/hostname", "r");
    const inherited = Array.from({ length: 40 }, (_, index) => (index >= 2 ? fd : "ignore"));
    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", service], {
      stdio: ["ignore", "pipe", "inherit", ...inherited],
    });
    const { stdout: piped } = child;
    if (piped === null) throw new Error("no stdout");
    const { own, stdout, notes } = JSON.parse(await text(piped));
    expect(own).toContain(41);
    const isAdmitted = notes.join("\n").includes("no shell here can close them");
    expect(stdout.includes("/etc/hostname")).toBe(isAdmitted);
    expect(stdout.trim().split("\n").length === 3).toBe(!isAdmitted);
  });
});
