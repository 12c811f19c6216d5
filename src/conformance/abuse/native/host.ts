import { check, show } from "../../assert.ts";
import type { AbuseBench } from "../bench.ts";
import { all, enforced, fromProfile, hasSetUid, walled, type AbuseCase } from "../case.ts";
import { endedByLimit, foundNothing, ranWell, receipt, refusedByLimit } from "../outcomes.ts";

const MiB = 2 ** 20;
const memoryBytes = 96 * MiB;

async function bombForks(bench: AbuseBench): Promise<void> {
  refusedByLimit(await bench.attack("fork-bomb.sh", { resources: { processes: 24, timeout: 3000 } }), "processes");
}

async function bombMemory(bench: AbuseBench): Promise<void> {
  // What is written to memory as a file must come to the limit of memory first.
  const disk = bench.facts.capability.limits.disk === undefined ? {} : { disk: memoryBytes + 32 * MiB };
  const resources = { memory: memoryBytes, timeout: 20_000, ...disk };
  for (const kind of ["heap", "tmpfs"]) endedByLimit(await bench.attack("memory-bomb.mjs", { args: [kind], resources }), "memory");
  const cached = await bench.attack("memory-bomb.mjs", { args: ["cache"], resources });
  if (cached.error === undefined) ranWell(cached);
  else endedByLimit(cached, "memory");
  const { peak = Number.NaN, applied = Number.NaN } = receipt(cached, "memory");
  check(peak <= applied, `the peak of "memory" is ${peak}, over the ${applied} that were applied`);
}

/** Each is stopped by an error of the file system's, and the receipt shows it where bytes ran out. */
async function fillDisk(bench: AbuseBench): Promise<void> {
  for (const kind of ["bytes", "files", "sparse"]) {
    const resources = { disk: 8 * MiB, memory: 256 * MiB, timeout: 20_000 };
    const ended = await bench.attack("fill-disk.mjs", { args: [kind], resources });
    const { stdout } = ranWell(ended);
    check(/^E(NOSPC|DQUOT|FBIG)\n$/.test(stdout), `"${kind}" came to ${show(stdout)}`);
    const { applied = Number.NaN, peak = Number.NaN, hit } = receipt(ended, "disk");
    check(peak <= applied, `the peak of "disk" is ${peak}, over the ${applied} that were applied`);
    check(kind === "files" || hit === "yes", `the receipt of "disk" says hit "${hit}" after "${kind}"`);
  }
}

/** Where the kernel that answers is the tool's own, what it does for the tool's processes alone is no way out. */
async function askKernel(bench: AbuseBench): Promise<void> {
  const kernel = bench.facts.capability.isolation === "container" ? "host" : "own";
  foundNothing(await bench.attack("kernel-calls.mjs", { args: [kernel] }));
}

async function becomeOther(bench: AbuseBench): Promise<void> {
  foundNothing(await bench.attack("set-uid.sh", { args: [bench.facts.setUid ?? ""] }));
}

/** The outcome of a program that says what it could do, and then that it has looked everywhere. */
function findsNothing(program: string) {
  return async (bench: AbuseBench): Promise<void> => foundNothing(await bench.attack(program));
}

export const hostCases: readonly AbuseCase[] = [
  { id: "D1", title: "fork bomb", outcome: "LIMIT", holds: enforced("processes"), attack: bombForks },
  { id: "D2", title: "memory bomb: heap, tmpfs, page cache", outcome: "LIMIT", holds: enforced("memory"), attack: bombMemory },
  {
    id: "D3",
    title: "fills the disk, a million empty files, a sparse terabyte",
    outcome: "LIMIT",
    holds: enforced("disk"),
    attack: fillDisk,
  },
  {
    id: "D4",
    title: "reads the environment of the service, of process 1 and of others, and other runs' folders",
    outcome: "NONE",
    holds: walled,
    attack: findsNothing("spy.mjs"),
  },
  {
    id: "D5",
    title: "writes core_pattern, release_agent and sysrq-trigger",
    outcome: "NONE",
    holds: walled,
    attack: findsNothing("write-kernel.sh"),
  },
  {
    id: "D6",
    title: "kills process 1, stops its parent, kills everything",
    outcome: "NONE",
    holds: walled,
    attack: findsNothing("kill-all.sh"),
  },
  {
    id: "D7",
    title: "ptrace, bpf, userfaultfd, io_uring, keyctl, unshare, mount, kexec",
    outcome: "NONE",
    holds: all(walled, fromProfile("standard")),
    attack: askKernel,
  },
  {
    id: "D8",
    title: "a set-uid program",
    outcome: "NONE",
    holds: all(walled, fromProfile("standard"), hasSetUid),
    attack: becomeOther,
  },
  {
    id: "D9",
    title: "looks for sockets of container engines, service accounts and cloud credentials",
    outcome: "NONE",
    holds: walled,
    attack: findsNothing("find-sockets.sh"),
  },
  {
    id: "D10",
    title: "open file descriptors beyond 0, 1 and 2",
    outcome: "NONE",
    attack: findsNothing("descriptors.sh"),
  },
  {
    id: "D11",
    title: "writes outside the granted folders",
    outcome: "NONE",
    holds: all(walled, fromProfile("standard")),
    attack: findsNothing("write-outside.sh"),
  },
  { id: "D12", title: "a kernel that is not the one that the backend names", outcome: "DENY", holds: walled },
];
