// Processes that want to outlive their run: in a session of their own, orphaned by a double fork, stopped, and deaf to
// SIGTERM. All of them bear the mark in their command line, work in "/" and have an empty environment.
import { spawn } from "node:child_process";
import { once } from "node:events";

const [mark, mode] = process.argv.slice(2);
process.on("SIGTERM", () => {});

const deaf = "trap '' TERM HUP INT; echo \"$1 up\"; while :; do sleep 1; done";
const stopped = 'echo "$1 up"; kill -STOP $$';
const daemon = `(/bin/sh -c "$2" "$0" "$1" &) ; exit 0`;

function start(args, options = {}) {
  const child = spawn("/bin/sh", args, { cwd: "/", env: { PATH: "/usr/bin:/bin" }, stdio: ["ignore", "pipe", "ignore"], ...options });
  child.stdout.on("data", (chunk) => process.stdout.write(chunk));
  return once(child.stdout, "data");
}

await Promise.all([
  start(["-c", deaf, mark, "session"], { detached: true }),
  start(["-c", daemon, mark, "orphan", deaf], { detached: true }),
  start(["-c", stopped, mark, "stopped"], { detached: true }),
]);
if (mode === "leave") process.exit(0);
setInterval(() => {}, 1_000_000);
