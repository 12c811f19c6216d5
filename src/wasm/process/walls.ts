import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { findCgroups, type CgroupLayout } from "../../internal/node/cgroup-layout.ts";
import { findCloser } from "../../internal/node/fd-closer.ts";
import { inheritedFds } from "../../internal/node/inherited-fds.ts";
import { randomUid, type Walls } from "./spec.ts";

export interface WallOptions {
  readonly cgroup: "auto" | "none";
  readonly user: "auto" | "same";
  readonly namespaces: "auto" | "none";
}

/** A set of walls that may hold here, and where cgroups can be made. */
export interface WallsHere {
  readonly walls: Walls;
  readonly layout?: CgroupLayout;
}

const bare: WallsHere = { walls: { namespaces: [], privileges: [], hasOwnUser: false } };
const folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"];
const shell = "/bin/sh";
const trialTimeoutMs = 5000;

function findProgram(name: string): string | undefined {
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Whether a command line that ends with a program runs that program. */
async function works(argv: readonly string[]): Promise<boolean> {
  const [program = shell, ...args] = [...argv, shell, "-c", ":"];
  const child = spawn(program, args, { stdio: "ignore", env: {}, timeout: trialTimeoutMs, killSignal: "SIGKILL" });
  const [code] = await once(child, "close").catch(() => [1]);
  return code === 0;
}

async function firstThatWorks(candidates: readonly (readonly string[])[]): Promise<readonly string[]> {
  for (const argv of candidates) if (await works(argv)) return argv;
  return [];
}

/** Namespaces by unshare(1). A user other than root first needs one in which he may make the others. */
async function findNamespaces(isRoot: boolean): Promise<readonly string[]> {
  const unshare = findProgram("unshare");
  if (unshare === undefined) return [];
  const own = ["--net", "--ipc", "--uts", "--"];
  return firstThatWorks(isRoot ? [[unshare, ...own]] : [[unshare, "--user", ...own]]);
}

/** By setpriv(1) of util-linux; busybox has one of the name that takes fewer options. */
async function findPrivileges(namespaces: readonly string[]): Promise<readonly string[]> {
  const setpriv = findProgram("setpriv");
  if (setpriv === undefined) return [];
  const always = [setpriv, "--no-new-privs", "--pdeathsig=KILL"];
  const candidates = [[...always, "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"], always];
  const found = await firstThatWorks(candidates.map((argv) => [...namespaces, ...argv, "--"]));
  return found.slice(namespaces.length, -1);
}

async function canHaveUser(namespaces: readonly string[], privileges: readonly string[]): Promise<boolean> {
  const uid = randomUid();
  return works([...namespaces, ...privileges, `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--"]);
}

/**
 * Finds out, by trying, which walls a child can have here: sets of them from the strongest on, the last one empty. A set that
 * works with one program may not with another, so that the first child is the last trial.
 */
export async function findWalls(options: WallOptions, trialName: string): Promise<WallsHere[]> {
  if (process.platform !== "linux" || !(await works([]))) return [bare];
  const fds = inheritedFds();
  const closing = fds.length === 0 ? undefined : await findCloser(fds);
  const layout = options.cgroup === "auto" ? findCgroups(trialName) : undefined;
  const isRoot = process.getuid?.() === 0;
  const namespaces = options.namespaces === "auto" ? await findNamespaces(isRoot) : [];
  const privileges = await findPrivileges(namespaces);
  const hasOwnUser = options.user === "auto" && isRoot && privileges.length > 0 && (await canHaveUser(namespaces, privileges));
  const base = { shell, ...(closing === undefined ? {} : { closing }) };
  const withLayout = layout === undefined ? {} : { layout };
  const full = { ...base, namespaces, privileges, hasOwnUser };
  const sets: WallsHere[] = [
    { walls: full, ...withLayout },
    { walls: { ...full, hasOwnUser: false }, ...withLayout },
    { walls: { ...base, namespaces: [], privileges: [], hasOwnUser: false }, ...withLayout },
    { walls: { ...base, namespaces: [], privileges: [], hasOwnUser: false } },
    bare,
  ];
  return sets.filter((set, index) => JSON.stringify(set) !== JSON.stringify(sets[index - 1]));
}

/** What a set has and has not, for people. */
export function describeWalls({ walls, layout }: WallsHere): string[] {
  const controllers = layout?.flatMap((one) => one.controllers) ?? [];
  const held = [
    "an empty environment",
    "Node's permission model",
    ...(walls.shell === undefined ? [] : ["lowest rlimits"]),
    ...(layout === undefined ? [] : [`a cgroup of its own (${controllers.join(", ")})`]),
    ...(walls.hasOwnUser ? ["a user of its own"] : []),
    ...(walls.namespaces.length > 0 ? ["no network"] : []),
    ...(walls.privileges.length > 0 ? ["no way to new privileges"] : []),
  ];
  const missing = [
    ...(layout === undefined ? ["no cgroup: what it has in memory besides the guest's is not bounded"] : []),
    ...(walls.hasOwnUser ? [] : ["no user of its own: a guest that breaks out of the engine and of Node has the service's files"]),
    ...(walls.namespaces.length > 0 ? [] : ["no network namespace: a guest that breaks out of the engine has the network"]),
    ...(walls.privileges.length > 0 ? [] : ["no setpriv(1): it may outlive a service that is killed, until the next one starts"]),
  ];
  return [`Each process for tools has ${held.join(", ")}`, ...missing.map((one) => `A process for tools has here ${one}`)];
}
