import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ToolRuntimeError } from "../../errors.ts";
import type { PipePool } from "../../internal/node/pipe-pool.ts";
import { Sandbox, type Platform } from "./sandbox.ts";
import { witnessPrograms } from "./witness-program.ts";

/** What a kernel says of itself. */
export interface KernelFacts {
  readonly version: string;
  readonly bootId: string;
  readonly log: string;
}

export interface WitnessOptions {
  readonly runsc: string;
  readonly folder: string;
  readonly pipes: PipePool;
  /** Those to be tried, best first. */
  readonly platforms: readonly Platform[];
}

const timeoutMs = 30_000;
const maxBytes = 65_536;
/** The first line of the log of gVisor's kernel (pkg/sentry/kernel/syslog.go). */
const gvisorLine = "Starting gVisor...";

function hostFacts(): Omit<KernelFacts, "log"> {
  return {
    version: readFileSync("/proc/version", "utf8").trim(),
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
  };
}

/** Why a kernel is not gVisor's, or nothing where it is. Threat: a program named runsc that shuts a tool into a mere container. */
export function notGvisor(facts: KernelFacts, host: Omit<KernelFacts, "log">): string | undefined {
  if (facts.bootId !== "" && facts.bootId === host.bootId) return "the kernel in its sandbox has the boot id of this host's";
  if (facts.version === "" || facts.version === host.version) return "the kernel in its sandbox has the version of this host's";
  return facts.log.includes(gvisorLine) ? undefined : "the kernel in its sandbox does not say that it is gVisor's";
}

/**
 * Runs a program of our own in a sandbox, which asks the kernel there what it is, and finds the platform on which that works.
 *
 * @throws `ERR_ATTESTATION` where a kernel answers that is not gVisor's, `ERR_BACKEND_UNAVAILABLE` where none does.
 */
export async function attest(options: WitnessOptions): Promise<Platform> {
  const failures: string[] = [];
  for (const platform of options.platforms) {
    const answer = await ask(options, platform);
    if (typeof answer === "string") {
      failures.push(`${platform}: ${answer}`);
      continue;
    }
    const why = notGvisor(answer, hostFacts());
    if (why === undefined) return platform;
    const message = `Cannot use the backend "gvisor": ${JSON.stringify(options.runsc)} is no gVisor, ${why}; install runsc or name it as "runtimePath"`;
    throw new ToolRuntimeError("ERR_ATTESTATION", message, { backend: "gvisor", details: { runtime: options.runsc } });
  }
  throw new ToolRuntimeError(
    "ERR_BACKEND_UNAVAILABLE",
    `Cannot start a sandbox on backend "gvisor": ${failures.join("; ")}; look whether this host lets runsc run`,
    { backend: "gvisor", details: { runtime: options.runsc } },
  );
}

/** Gives what went wrong as text. */
async function ask({ runsc, folder, pipes }: WitnessOptions, platform: Platform): Promise<KernelFacts | string> {
  const nonce = randomUUID();
  const sandbox = new Sandbox({ id: `toolruntime-${nonce}`, runsc, platform, folder, rootOverlay: "none" });
  try {
    await writeRoot(join(folder, "rootfs"));
    // It is over before a limit would mean something.
    const { stdout, stderr, exited } = await sandbox.start({
      spec: witnessSpec(join(folder, "rootfs"), nonce),
      stdin: new Uint8Array(0),
      pipes,
      settings: ["--ignore-cgroups"],
    });
    stderr.resume();
    const timer = setTimeout(() => sandbox.kill(), timeoutMs);
    const said = await readAll(stdout, () => sandbox.kill());
    const status = await exited;
    clearTimeout(timer);
    stderr.destroy();
    return parseFacts(said, nonce) ?? sandbox.failure() ?? `it ended with ${status} and said nothing`;
  } finally {
    await sandbox.remove();
  }
}

async function writeRoot(root: string): Promise<void> {
  const program = witnessPrograms[process.arch];
  if (program === undefined) throw new Error(`there is no program to ask the kernel with for ${process.arch}`);
  await mkdir(join(root, "proc"), { recursive: true });
  await mkdir(join(root, "dev"), { recursive: true });
  await chmod(root, 0o755);
  await writeFile(join(root, "witness"), Buffer.from(program, "base64"), { mode: 0o755 });
}

function witnessSpec(root: string, nonce: string): object {
  const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
  return {
    ociVersion: "1.0.2",
    process: {
      args: ["/witness", nonce],
      env: [],
      cwd: "/",
      user: { uid: 65_534, gid: 65_534 },
      noNewPrivileges: true,
      capabilities: none,
    },
    root: { path: root, readonly: true },
    hostname: "toolruntime",
    mounts: [{ destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] }],
    linux: { namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })) },
  };
}

async function readAll(stream: AsyncIterable<Uint8Array>, end: () => void): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream) {
    size += part.length;
    if (size <= maxBytes) parts.push(part);
    else end();
  }
  return Buffer.concat(parts).toString();
}

/** The witness has seen the nonce: it is no answer of another. */
function parseFacts(said: string, nonce: string): KernelFacts | undefined {
  const [, version, bootId, log] = new RegExp(`^${nonce}\\nversion\\n([^]*?)\\nboot\\n([^]*?)\\nlog\\n([^]*)$`).exec(said) ?? [];
  if (version === undefined || bootId === undefined || log === undefined) return undefined;
  return { version: version.trim(), bootId: bootId.trim(), log };
}
