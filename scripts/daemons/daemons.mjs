import { spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const readyMs = 30_000;
const stopMs = 15_000;

/**
 * The daemons in the order of their start. With these settings dockerd makes no bridge, no firewall rule, and leaves forwarding
 * alone: by default it changes all three, and does not change them back.
 */
export function daemons(paths) {
  const { at, bin, sockets } = paths;
  return [
    {
      name: "containerd",
      paths,
      socket: sockets.containerd,
      program: "containerd",
      args: ["-c", at("containerd.toml")],
      files: [
        {
          path: at("containerd.toml"),
          text: [
            "version = 2",
            `root = "${at("containerd")}"`,
            `state = "${at("containerd-state")}"`,
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
            "[grpc]",
            `  address = "${sockets.containerd}"`,
            "[ttrpc]",
            `  address = "${sockets.containerd}.ttrpc"`,
            "",
          ].join("\n"),
        },
        ...wrappers(bin),
      ],
      version: () => connectTo(sockets.containerd),
    },
    {
      name: "docker",
      paths,
      socket: sockets.docker,
      program: "dockerd",
      args: ["--config-file", at("daemon.json")],
      files: [{ path: at("daemon.json"), text: JSON.stringify(dockerSettings(paths), null, 2) }],
      version: () => versionOf(sockets.docker),
    },
    {
      name: "podman",
      paths,
      socket: sockets.podman,
      program: "podman",
      args: ["--root", at("podman"), "--runroot", at("podman-run"), "system", "service", "--time=0", `unix://${sockets.podman}`],
      env: { CONTAINERS_CONF: at("containers.conf") },
      files: [
        {
          path: at("containers.conf"),
          text: '[containers]\ndefault_ulimits = ["nofile=20000:20000"]\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n',
        },
      ],
      version: () => versionOf(sockets.podman),
    },
  ];
}

function dockerSettings({ at, bin, sockets }) {
  return {
    "data-root": at("docker"),
    "exec-root": at("docker-exec"),
    pidfile: at("docker-own.pid"),
    hosts: [`unix://${sockets.docker}`],
    containerd: sockets.containerd,
    bridge: "none",
    iptables: false,
    ip6tables: false,
    "ip-forward": false,
    "ip-masq": false,
    "userland-proxy": false,
    "storage-driver": "overlay2",
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
    "log-level": "warn",
    runtimes: { runsc: { path: join(bin, "runsc") }, crun: { path: join(bin, "crun") } },
  };
}

/** Runtimes with the options that they need here. crun refuses cgroups that are partly of version 2, so it is not shown those. */
function wrappers(bin) {
  const script = (line) => `#!/bin/sh\n${line}\n`;
  return [
    { path: join(bin, "runsc"), mode: 0o755, text: script('exec /usr/bin/runsc --platform=ptrace --network=none "$@"') },
    {
      path: join(bin, "crun"),
      mode: 0o755,
      text: script(
        `exec unshare -m --propagation slave sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec /usr/bin/crun "$@"' crun "$@"`,
      ),
    },
  ];
}

function pidFile({ name, paths }) {
  return paths.at(`${name}.pid`);
}

/** Starts it unless it answers already, and waits until it does. */
export async function startDaemon(daemon) {
  const known = await daemon.version().catch(() => undefined);
  if (known !== undefined) return `runs already, ${known}`;
  // One that was started and does not answer is busy: another beside it would be one that nobody stops.
  if (startedPid(daemon) !== undefined) return `runs already, ${await untilAnswers(daemon, () => undefined)}`;
  const { paths, files, name } = daemon;
  for (const folder of [paths.root, paths.bin, paths.logs]) mkdirSync(folder, { recursive: true, mode: 0o711 });
  for (const { path, text, mode = 0o644 } of files) writeFileSync(path, text, { mode });
  rmSync(daemon.socket, { force: true });
  const log = openSync(join(paths.logs, `${name}.log`), "a");
  // Podman leaves a file in its working folder where a container was ended for want of memory.
  const [cwd, env] = [paths.root, { ...process.env, ...daemon.env }];
  const child = spawn(daemon.program, daemon.args, { cwd, detached: true, stdio: ["ignore", log, log], env });
  let failure;
  child.once("error", (error) => (failure = error.message));
  child.once("exit", (code, signal) => (failure = `it ended with ${code ?? signal}`));
  child.unref();
  if (child.pid !== undefined) writeFileSync(pidFile(daemon), String(child.pid));
  const startedAt = Date.now();
  const version = await untilAnswers(daemon, () => failure);
  return `started, ${version}, after ${((Date.now() - startedAt) / 1000).toFixed(1)} s`;
}

async function untilAnswers(daemon, failureOf) {
  const { name, paths } = daemon;
  const startedAt = Date.now();
  while (Date.now() - startedAt < readyMs && failureOf() === undefined) {
    const version = await daemon.version().catch(() => undefined);
    if (version !== undefined) return version;
    await sleep(50);
  }
  const why = failureOf() ?? `it does not answer after ${readyMs / 1000} s`;
  throw new Error(`Cannot start ${name}: ${why}; see ${join(paths.logs, `${name}.log`)}`);
}

/** The process that an earlier call has started and that is still there. */
function startedPid(daemon) {
  const file = pidFile(daemon);
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, "utf8"));
  return isOurs(pid, daemon) ? pid : undefined;
}

/** Ends the process that was started, and no other that has its number since. */
export async function stopDaemon(daemon) {
  const file = pidFile(daemon);
  if (!existsSync(file)) return "was not started here";
  const pid = startedPid(daemon);
  rmSync(file);
  if (pid === undefined) return "had ended";
  process.kill(pid, "SIGTERM");
  const startedAt = Date.now();
  while (isOurs(pid, daemon)) {
    if (Date.now() - startedAt > stopMs) {
      process.kill(pid, "SIGKILL");
      return `was killed: it had not ended after ${stopMs / 1000} s`;
    }
    await sleep(50);
  }
  return "stopped";
}

function isOurs(pid, { program, args }) {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words[0]?.endsWith(program) === true && args.every((word) => words.includes(word));
  } catch {
    return false;
  }
}

/** By the daemon's own answer: a process with the right number may be a zombie. */
export function findAll(list) {
  return Promise.all(
    list.map(async ({ name, socket, version }) => {
      const found = await version().catch(() => undefined);
      return { name, socket, isRunning: found !== undefined, ...(found === undefined ? {} : { version: found }) };
    }),
  );
}

function connectTo(socketPath) {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath, () => {
      socket.destroy();
      resolve("answers");
    });
    socket.once("error", reject);
  });
}

function versionOf(socketPath) {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: "/version", timeout: 2000 }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => (text += part));
      response.on("end", () => {
        try {
          const { Version, ApiVersion } = JSON.parse(text);
          resolve(`version ${Version}, API ${ApiVersion}`);
        } catch (error) {
          reject(error);
        }
      });
    });
    asked.once("timeout", () => asked.destroy(new Error("no answer")));
    asked.once("error", reject);
    asked.end();
  });
}
