import { expect, test } from "vitest";
import { containerOptions, type ContainerParts } from "../../src/backends/docker/spec.ts";
import { defineTool } from "../../src/index.ts";

const about = { name: "attack", version: "1.0.0", description: "Does nothing", inputSchema: true };
const tool = await defineTool({ ...about, artifacts: { image: { reference: "none" } } }, {});

function optionsOf(profile: "dev" | "standard", change: Partial<ContainerParts> = {}) {
  return containerOptions({
    plan: {
      digest: "sha256:0",
      tool,
      artifact: "image",
      profile,
      isolation: "container",
      limits: [],
      network: "none",
      graceMs: 0,
    },
    image: "sha256:1",
    argv: ["/bin/tool", "--flag"],
    init: "/scratch/init",
    seccomp: '{"the":"profile"}',
    flavor: { masks: "field", ulimits: [] },
    name: "run",
    labels: {},
    cgroupParent: "/run",
    scratch: { work: "/scratch/work", tmp: "/scratch/tmp" },
    inputs: [{ source: "/scratch/inputs/0", path: "in.txt" }],
    env: {},
    ...change,
  });
}

test("the first process is ours, bound read-only, and starts the tool's program", () => {
  const { Entrypoint, Cmd, HostConfig } = optionsOf("standard");
  expect(Entrypoint).toEqual(["/dev/toolruntime-init", "/bin/tool", "--flag"]);
  expect(Cmd).toEqual([]);
  expect(HostConfig.Init).toBe(false);
  expect(HostConfig.Mounts).toContainEqual({ Type: "bind", Source: "/scratch/init", Target: "/dev/toolruntime-init", ReadOnly: true });
});

test("in standard nothing is left to the tool", () => {
  const { User, HostConfig } = optionsOf("standard");
  expect(User).toBe("65534:65534");
  expect(HostConfig).toMatchObject({ CapDrop: ["ALL"], CapAdd: [], ReadonlyRootfs: true, NetworkMode: "none", IpcMode: "none" });
  expect(HostConfig.SecurityOpt).toEqual(['seccomp={"the":"profile"}', "no-new-privileges:true"]);
  expect(HostConfig.MaskedPaths).toContain("/dev/mqueue");
  expect(HostConfig.Mounts.filter(({ ReadOnly }) => ReadOnly === true).map(({ Target }) => Target)).toEqual([
    "/dev/toolruntime-init",
    "/work/in.txt",
  ]);
});

test("in dev the image's user has what engines leave to it, behind the same list of system calls", () => {
  const { User, HostConfig } = optionsOf("dev");
  expect(User).toBeUndefined();
  expect(HostConfig.CapDrop).toEqual(["ALL"]);
  expect(HostConfig.CapAdd).not.toContain("CAP_NET_RAW");
  expect(HostConfig.SecurityOpt).toEqual(['seccomp={"the":"profile"}']);
});

test("podman gets by an option what it takes no field for", () => {
  const ulimits = [{ Name: "nproc", Soft: 1, Hard: 1 }];
  const { HostConfig } = optionsOf("standard", { seccomp: "/scratch/seccomp.json", flavor: { masks: "option", ulimits } });
  const [seccomp, , masks = ""] = HostConfig.SecurityOpt;
  expect(seccomp).toBe("seccomp=/scratch/seccomp.json");
  expect(masks.slice("mask=".length).split(":")).toEqual(HostConfig.MaskedPaths);
  expect(HostConfig.Ulimits).toContainEqual(ulimits[0]);
});
