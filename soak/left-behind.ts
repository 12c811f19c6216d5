import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { readProcessStat } from "../src/internal/node/process-owner.ts";
import { processesWith } from "../test/containerd/support.ts";

export interface Places {
  readonly sockets: { readonly docker: string; readonly containerd: string };
  /** Where the services make the folders of their runs. */
  readonly scratches: readonly string[];
  /** On the command line of every process of a tool. */
  readonly marker: string;
  /** Every process of a service that has been. */
  readonly pids: readonly number[];
}

function lines(program: string, args: readonly string[]): string[] {
  return execFileSync(program, args, { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.trim() !== "");
}

function isGone(pid: number): boolean {
  const stat = readProcessStat(pid);
  return stat === undefined || stat.state === "Z" || stat.state === "X";
}

/** What goes away while it looks is no failure. */
function find(...args: readonly string[]): string[] {
  return spawnSync("find", args, { encoding: "utf8" })
    .stdout.split("\n")
    .filter((line) => line !== "");
}

/**
 * Everything of services that are gone, by the daemons' own commands and by what the kernel shows: containers, tasks (in the namespace
 * that Docker has too), snapshots, leases, shims, cgroups, mounts, FIFOs, folders and processes. Called when nothing runs.
 */
export function leftBehind({ sockets, scratches, marker, pids }: Places): string[] {
  const ctr = (namespace: string, ...args: string[]) => lines("ctr", ["-a", sockets.containerd, "-n", namespace, ...args]);
  const tagged = (kind: string, found: readonly string[]): string[] => found.map((one) => `${kind} ${one}`);
  const gone = pids.filter(isGone);
  const isOfGone = (name: string): boolean => gone.some((pid) => new RegExp(`(?:^|[/-])${pid}-\\d+-\\d+-[0-9a-f]{8}-`).test(name));
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const root = dirname(sockets.containerd);
  return [
    ...tagged("docker container", lines("docker", ["-H", `unix://${sockets.docker}`, "ps", "-aq"])),
    ...["moby", "toolruntime"].flatMap((namespace) => [
      ...tagged(`${namespace} container`, ctr(namespace, "containers", "ls", "-q")),
      ...tagged(`${namespace} task`, ctr(namespace, "tasks", "ls", "-q")),
      ...tagged(`${namespace} lease`, ctr(namespace, "leases", "ls", "-q")),
    ]),
    ...tagged("snapshot", ctr("toolruntime", "snapshots", "ls").slice(1)).filter((line) => !line.includes("Committed")),
    ...tagged(
      "shim",
      processesWith("containerd-shim").filter((pid) => processesWith(sockets.containerd).includes(pid)),
    ),
    ...tagged("process", processesWith(marker)),
    ...tagged("cgroup", find("/sys/fs/cgroup", "-type", "d", "-name", "toolruntime-*").filter(isOfGone)),
    ...tagged(
      "mount",
      mounts
        .filter((line) => line.includes(" overlay ") && line.includes(root))
        .concat(mounts.filter((line) => scratches.some((scratch) => line.includes(`${scratch}/`)))),
    ),
    ...tagged(
      "FIFO",
      [root, ...scratches].flatMap((folder) => fifosOfGone(folder, isOfGone)),
    ),
    ...scratches.flatMap((scratch) => tagged("folder", existsSync(scratch) ? readdirSync(scratch).filter(isOfGone) : [])),
  ];
}

function fifosOfGone(folder: string, isOfGone: (name: string) => boolean): string[] {
  return find(folder, "-xdev", "-type", "p").filter((path) => path.split("/").some(isOfGone) || path.includes("/fifo/"));
}
