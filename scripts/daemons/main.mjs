// Installs from Debian and runs docker, containerd, runsc and podman as plain processes under a folder of their own, with images that
// need no registry. It leaves the machine's network, firewall, forwarding and services as they are. Runs on Node 20.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { daemons, findAll, startDaemon, stopDaemon } from "./daemons.mjs";
import { loadImages } from "./images.mjs";
import { install } from "./packages.mjs";
import { layout } from "./layout.mjs";

const help = `Usage: scripts/backends <up | down | status> [options]

  up        install what is missing from Debian's packages (as root), start the daemons, load the test images
  down      stop what "up" started
  status    say what runs, and where; exit code 1 unless all of it does

  --root DIR   where all of it is kept (default: $TOOLRUNTIME_BACKENDS, or ${layout().root})
  --wipe       with "down": remove images, containers and the folder too
  --json       with "status": as JSON
  --help       this text`;

function fail(message) {
  console.error(message);
  process.exit(1);
}

async function up(paths) {
  const startedAt = Date.now();
  install();
  for (const daemon of daemons(paths)) {
    const outcome = await startDaemon(daemon);
    console.log(`${daemon.name}: ${outcome}`);
  }
  const images = await loadImages(paths);
  writeFileSync(paths.state, `${JSON.stringify({ sockets: paths.sockets, imageFolder: paths.layout, images }, null, 2)}\n`);
  console.log(`All of it is up after ${((Date.now() - startedAt) / 1000).toFixed(1)} s; sockets and images: ${paths.state}`);
}

async function down(paths, isWiped) {
  for (const daemon of daemons(paths).toReversed()) console.log(`${daemon.name}: ${await stopDaemon(daemon)}`);
  rmSync(paths.state, { force: true });
  unmountBelow(paths.root);
  if (!isWiped) return;
  rmSync(paths.root, { recursive: true, force: true });
  console.log(`${paths.root}: removed`);
}

/** Podman's storage stays mounted when nothing of podman runs any longer. The last mounted goes first. */
function unmountBelow(root) {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${root}/`));
  for (const point of points.toReversed()) execFileSync("umount", [point], { stdio: ["ignore", "ignore", "inherit"] });
}

async function status(paths, isJson) {
  const found = await findAll(daemons(paths));
  const isUp = existsSync(paths.state) && found.every(({ isRunning }) => isRunning);
  if (isJson) console.log(JSON.stringify({ isUp, root: paths.root, daemons: found }, null, 2));
  else
    for (const { name, isRunning, version, socket } of found)
      console.log(`${name.padEnd(12)}${isRunning ? `runs, ${version}` : "does not run"}  ${socket}`);
  process.exitCode = isUp ? 0 : 1;
}

const { values, positionals } = (() => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { root: { type: "string" }, wipe: { type: "boolean" }, json: { type: "boolean" }, help: { type: "boolean" } },
    });
  } catch (error) {
    return fail(`${error.message}\n\n${help}`);
  }
})();
const [command] = positionals;
const paths = layout(values.root);
if (values.help) console.log(help);
else if (positionals.length !== 1 || !["up", "down", "status"].includes(command)) fail(help);
else if (process.platform !== "linux") fail(`The daemons run on Linux, and this is ${process.platform}`);
else if (command === "status") await status(paths, values.json === true);
else if (process.getuid() !== 0) fail("The daemons need root: run it with sudo");
else if (command === "up") await up(paths);
else await down(paths, values.wipe === true);
