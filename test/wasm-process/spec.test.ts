import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { findChildCode } from "../../src/wasm/process/child-code.ts";
import { ChildHandle } from "../../src/wasm/process/child-handle.ts";
import { readOptions } from "../../src/wasm/process/options.ts";
import { childSpec, randomUid, type ChildSpecParts } from "../../src/wasm/process/spec.ts";

const code = { program: "/opt/node", entry: "/app/dist/wasm/process/child.js", readable: ["/app/dist", "/app/node_modules"] };
const shape = { memoryPages: 1024 };
const bare = { namespaces: [], privileges: [], hasOwnUser: false };
const base: ChildSpecParts = { code, shape, walls: bare, name: "toolruntime-wasm-x-1", membershipFiles: [], uid: 0x7000_0001 };
const walls = { shell: "/bin/sh", namespaces: ["/u", "--net", "--"], privileges: ["/p", "--no-new-privs"], hasOwnUser: true };

describe("the specification of a child", () => {
  it("has every flag of the engine's, whatever stands around it", () => {
    const { program, args } = childSpec(base);
    expect(program).toBe("/opt/node");
    expect(args.slice(-2)).toEqual([code.entry, "toolruntime-wasm-x-1"]);
    expect(args.slice(0, -2)).toEqual([
      "--permission",
      "--allow-fs-read=/app/dist",
      "--allow-fs-read=/app/node_modules",
      "--no-addons",
      "--disable-sigusr1",
      "--disable-proto=delete",
      "--disallow-code-generation-from-strings",
      "--no-wasm-lazy-compilation",
      "--wasm-max-mem-pages=1024",
      expect.stringMatching(/^--wasm-max-table-size=\d+$/),
      expect.stringMatching(/^--max-old-space-size=\d+$/),
      "--v8-pool-size=1",
      "--no-warnings",
    ]);
    const walled = childSpec({ ...base, walls });
    expect(walled.args.slice(-args.length)).toEqual(args);
  });

  it("gives it nothing but files to read", () => {
    const { args } = childSpec({ ...base, walls });
    expect(args.filter((flag) => flag.startsWith("--allow-") && !flag.startsWith("--allow-fs-read="))).toEqual([]);
  });

  it("is a constant script with everything else as arguments", () => {
    const membershipFiles = ["/sys/fs/cgroup/a b/cgroup.procs", "$(id)"];
    const one = childSpec({ ...base, walls, membershipFiles });
    const other = childSpec({ ...base, walls: { ...walls, hasOwnUser: false, closing: { shell: "/bin/bash", fds: [3, 9] } } });
    expect(one.program).toBe("/bin/sh");
    expect(one.args.slice(2, 8)).toEqual(["toolruntime", ...membershipFiles, "--", "32", "64"]);
    expect(one.args.slice(8, 17)).toEqual([
      "/u", "--net", "--", "/p", "--no-new-privs", "--reuid=1879048193", "--regid=1879048193", "--clear-groups", "--",
    ]); // prettier-ignore
    // Descriptor 3 is the channel's.
    expect([other.program, ...other.args.slice(2, 6)]).toEqual(["/bin/bash", "toolruntime", "9", "--", "/bin/sh"]);
    expect(other.args[7]).toBe(one.args[1]);
    // A limit by user would count whatever else that user runs.
    expect(other.args.slice(8, 12)).toEqual(["toolruntime", "--", "-", "64"]);
  });

  it("takes user ids that nobody has", () => {
    for (let i = 0; i < 1000; i++) {
      const uid = randomUid();
      expect(uid >= 0x7000_0000 && uid < 0x7fff_ffff).toBe(true);
    }
  });
});

describe("the code of a child", () => {
  it("is this package's alone, and starts without anything around it", async () => {
    const found = findChildCode(readOptions({}).entry);
    expect(found.readable.map((path) => basename(path))).toEqual(["src", "package.json"]);
    const spec = childSpec({ ...base, code: found, shape });
    const child = new ChildHandle({ name: base.name, spec, shape, cgroup: undefined });
    onTestFinished(async () => void (await child.kill()));
    await child.ready;
    expect(child.isAlive).toBe(true);
    expect(readFileSync(`/proc/${child.pid}/environ`, "latin1")).toBe("");
    const { why, isLost } = await child.kill();
    expect([why, isLost, child.isAlive]).toEqual(["it was ended by SIGKILL", false, false]);
  });
});
