import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { defineTool, type Tool } from "../../src/index.ts";

export const acceptEngines = ["runc@1.1.5"];

export function toolOf(image: { readonly reference: string; readonly digest?: string }, argv: readonly string[]): Promise<Tool> {
  const about = { name: "attack", version: "1.0.0", description: "Does what its arguments say", inputSchema: true };
  return defineTool({ ...about, artifacts: { image: { ...image, argv: [...argv] } } }, {});
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** By the daemon's own command, which has nothing to do with the backend. */
export function ctr(socketPath: string, ...args: readonly string[]): string[] {
  return lines(execFileSync("ctr", ["-a", socketPath, "-n", "toolruntime", ...args], { encoding: "utf8" }));
}

/** What a run can leave on a daemon and on this machine, besides the layers of images. */
export function leftovers(socketPath: string, scratch: string): string[] {
  const snapshots = ctr(socketPath, "snapshots", "ls").filter((line) => !line.includes("Committed"));
  const listed = [
    ["containers", "ls", "-q"],
    ["tasks", "ls", "-q"],
    ["leases", "ls", "-q"],
  ].flatMap((args) => ctr(socketPath, ...args).map((line) => `${args[0]} ${line}`));
  const mounts = lines(readFileSync("/proc/self/mountinfo", "utf8")).filter((line) => line.split(" ")[4]?.startsWith(`${scratch}/`));
  const cgroups = namesIn("/sys/fs/cgroup").flatMap((hierarchy) =>
    namesIn(`/sys/fs/cgroup/${hierarchy}`).flatMap((name) =>
      name.startsWith("toolruntime-containerd-") ? `cgroup ${hierarchy}/${name}` : [],
    ),
  );
  const shims = namesIn("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    const command = commandOf(pid);
    return command.includes("containerd-shim") && command.includes(socketPath) && command.includes("toolruntime") ? [`shim ${pid}`] : [];
  });
  return [...snapshots.slice(1).map((line) => `snapshot ${line}`), ...listed, ...mounts, ...cgroups, ...shims];
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return "";
  }
}

/** The processes of this machine that have a word in their command line. */
export function processesWith(word: string): string[] {
  return namesIn("/proc").filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(word));
}

/** A containerd of the test's own, that it may stop. */
export class Daemon {
  readonly folder = mkdtempSync(join(tmpdir(), "toolruntime-test-containerd-"));
  readonly socketPath = join(this.folder, "containerd.sock");
  #process: ChildProcess | undefined;

  async start(): Promise<void> {
    const config = join(this.folder, "containerd.toml");
    const settings = [
      "version = 2",
      `root = "${join(this.folder, "root")}"`,
      `state = "${join(this.folder, "state")}"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      `[grpc]\n  address = "${this.socketPath}"`,
      `[ttrpc]\n  address = "${this.socketPath}.ttrpc"`,
    ];
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(config, `${settings.join("\n")}\n`);
    rmSync(this.socketPath, { force: true });
    this.#process = spawn("containerd", ["-c", config], { stdio: "ignore" });
    for (let round = 0; round < 500; round++) {
      if (await answers(this.socketPath)) return;
      await sleep(20);
    }
    throw new Error("containerd does not answer");
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process?.once("exit", resolve));
    this.#process?.kill("SIGTERM");
    await ended;
    this.#process = undefined;
    rmSync(this.socketPath, { force: true });
  }

  async remove(): Promise<void> {
    if (this.#process !== undefined) await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
