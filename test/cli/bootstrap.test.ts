import { execFileSync } from "node:child_process";
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { needsInstall, noteInstalled, wantedStamp } from "../../scripts/install-state.mjs";
import { scratchFolder } from "../registry/support.ts";
import { ended, root, start } from "./support.ts";

const systemNode = "/usr/bin/node";
const systemVersion = existsSync(systemNode) ? execFileSync(systemNode, ["--version"], { encoding: "utf8" }).trim() : undefined;

/** Nothing counts as new: there is no old Node to try. */
function majorOf(version = "v24"): number {
  return Number(/^v(\d+)/.exec(version)?.[1]);
}

const lock = {
  packages: {
    "": { dependencies: { a: "1.0.0" } },
    "node_modules/a": { version: "1.0.0" },
    "node_modules/a-other-platform": { version: "1.0.0", optional: true },
  },
};

/** A repository of one dependency; `installed` is npm's own record of what it put there. */
async function repository(path: string, installed?: object): Promise<void> {
  await writeFile(join(path, "package.json"), JSON.stringify({ dependencies: { a: "1.0.0" } }));
  await writeFile(join(path, "package-lock.json"), JSON.stringify(lock));
  if (installed === undefined) return;
  await mkdir(join(path, "node_modules"), { recursive: true });
  await writeFile(join(path, "node_modules", ".package-lock.json"), JSON.stringify({ packages: installed }));
}

describe("an installation is needed", () => {
  test("where there is none", async () => {
    await using scratch = await scratchFolder();
    await repository(scratch.path);
    expect(needsInstall(scratch.path)).toContain("nothing is installed");
  });

  test("where the lock file names another version, or more", async () => {
    await using scratch = await scratchFolder();
    await repository(scratch.path, { "node_modules/a": { version: "0.9.0" } });
    expect(needsInstall(scratch.path)).toContain("package-lock.json");
    await repository(scratch.path, {});
    expect(needsInstall(scratch.path)).toContain("package-lock.json");
  });

  test("after the lock file or the dependencies changed", async () => {
    await using scratch = await scratchFolder();
    await repository(scratch.path, { "node_modules/a": { version: "1.0.0" } });
    noteInstalled(scratch.path);
    const stamp = wantedStamp(scratch.path);
    await writeFile(join(scratch.path, "package.json"), JSON.stringify({ dependencies: { a: "1.0.0", b: "1.0.0" } }));
    expect(needsInstall(scratch.path)).toContain("package-lock.json");
    expect(wantedStamp(scratch.path)).not.toBe(stamp);
  });

  test("once node_modules is gone, and the stamp with it", async () => {
    await using scratch = await scratchFolder();
    await repository(scratch.path, { "node_modules/a": { version: "1.0.0" } });
    noteInstalled(scratch.path);
    await rm(join(scratch.path, "node_modules"), { recursive: true });
    expect(needsInstall(scratch.path)).toContain("nothing is installed");
  });
});

describe("no installation is needed", () => {
  test("where there are optional packages besides, which the lock file of another platform does not name", async () => {
    await using scratch = await scratchFolder();
    const a = { version: "1.0.0" };
    await repository(scratch.path, { "node_modules/a": a, "node_modules/a-here": { version: "1.0.0", optional: true } });
    expect(needsInstall(scratch.path)).toBeUndefined();
    await repository(scratch.path, { "node_modules/a": a, "node_modules/stray": { version: "1.0.0" } });
    expect(needsInstall(scratch.path)).toContain("package-lock.json");
  });

  test("where somebody installed by hand what the lock file says; packages for other platforms may be missing", async () => {
    await using scratch = await scratchFolder();
    await repository(scratch.path, { "node_modules/a": { version: "1.0.0" } });
    expect(needsInstall(scratch.path)).toBeUndefined();
  });

  test("where the stamp says so", async () => {
    await using scratch = await scratchFolder();
    await repository(scratch.path, { "node_modules/a": { version: "1.0.0" } });
    noteInstalled(scratch.path);
    await rm(join(scratch.path, "node_modules", ".package-lock.json"));
    expect(needsInstall(scratch.path)).toBeUndefined();
  });
});

describe("bootstrap", () => {
  test("says in one line that the pinned Node is missing", async () => {
    await using scratch = await scratchFolder();
    await repository(scratch.path, { "node_modules/a": { version: "1.0.0" } });
    await mkdir(join(scratch.path, "scripts"));
    for (const file of ["bootstrap.mjs", "install-state.mjs"]) {
      await copyFile(join(root, "scripts", file), join(scratch.path, "scripts", file));
    }
    const { code, stderr } = await ended(start([process.execPath, join(scratch.path, "scripts/bootstrap.mjs"), "start"]));
    expect(stderr).toMatch(/^toolruntime: .*remove node_modules.*\n$/);
    expect(code).toBe(1);
  });

  test("refuses an unknown task", async () => {
    const { code, stderr } = await ended(start([process.execPath, join(root, "scripts/bootstrap.mjs"), "strat"]));
    expect(stderr).toContain('"strat"');
    expect(code).toBe(1);
  });

  test.skipIf(systemVersion === undefined)("is read by the system's own Node", async () => {
    const { code, stderr } = await ended(start([systemNode, join(root, "scripts/bootstrap.mjs"), "strat"]));
    expect(stderr).toMatch(/^toolruntime: unknown task/);
    expect(code).toBe(1);
  });
});

test.skipIf(majorOf(systemVersion) >= 24)("the command says in one line that a Node is too old", async () => {
  const { code, stderr } = await ended(start([systemNode, join(root, "bin/toolruntime.mjs"), "doctor"]));
  expect(stderr).toMatch(new RegExp(`^toolruntime needs Node 24 or newer; this is ${systemVersion}; .*\\n$`));
  expect(code).toBe(1);
});
