// `npm start`, `npm test` and CI's installation begin here, with whatever Node the machine has (20 and later) and perhaps nothing installed:
// plain JavaScript, no dependency. What runs afterwards runs on the Node that the repository pins.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { needsInstall, noteInstalled } from "./install-state.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pinnedNode = join(root, "node_modules", ".bin", "node");
const entries = {
  start: [join(root, "scripts", "start.ts")],
  test: [join(root, "node_modules", "vitest", "vitest.mjs"), "run"],
};

/** @param {string} message */
function fail(message) {
  console.error(`toolruntime: ${message}`);
  process.exit(1);
}

/**
 * `npm ci` refuses a lock file without the optional packages of every other platform; `npm install` takes them as they
 * come and keeps to the lock file for all that it names, which is checked afterwards.
 */
function install(reason) {
  console.error(`toolruntime: ${reason}; installing, which takes a minute or two`);
  const args = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  const npm = process.env["npm_execpath"];
  const options = { cwd: root, stdio: ["ignore", "ignore", "inherit"] };
  // A script of npm's knows which npm runs it; otherwise the one on the PATH does.
  const { status, error } = npm?.endsWith("npm-cli.js")
    ? spawnSync(process.execPath, [npm, ...args], options)
    : spawnSync("npm", args, options);
  if (error !== undefined) fail(`npm cannot be started (${error.message}); install npm, then try again`);
  if (status !== 0) fail("npm install failed; see its lines above, then try again");
  const left = needsInstall(root);
  if (left !== undefined) fail(`npm install went through, but ${left}; remove node_modules and try again`);
  checkNode();
}

function checkNode() {
  if (!existsSync(pinnedNode)) {
    fail(
      'npm installed no Node of its own: it did not run the install script of the package "node"; allow it (package.json names it under allowScripts), remove node_modules and try again',
    );
  }
  const { stdout } = spawnSync(pinnedNode, ["--version"], { encoding: "utf8" });
  if (!/^v(2[4-9]|[3-9]\d)\./.test(stdout ?? "")) {
    fail(`the Node in node_modules answers ${JSON.stringify((stdout ?? "").trim())}, v24 is needed; remove node_modules and try again`);
  }
}

/** npm's scripts find the pinned Node first on their PATH once it is installed; another process would only cost time. */
function isPinned() {
  try {
    return realpathSync(process.execPath) === realpathSync(pinnedNode);
  } catch {
    return false;
  }
}

/** Goes on in this process as if the entry had been started. */
async function become([entry, ...args]) {
  process.chdir(root);
  process.argv = [process.argv[0], entry, ...args];
  await import(pathToFileURL(entry).href);
}

function run(args) {
  const child = spawn(pinnedNode, args, { cwd: root, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`the Node in node_modules cannot be started (${error.message}); remove node_modules and try again`));
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}

const [task = "", ...args] = process.argv.slice(2);
const entry = Object.hasOwn(entries, task) ? entries[task] : undefined;
if (entry === undefined && task !== "install") {
  fail(`unknown task ${JSON.stringify(task)}; there are install, ${Object.keys(entries).join(", ")}`);
}
const reason = needsInstall(root);
if (reason !== undefined) install(reason);
noteInstalled(root);
if (entry !== undefined) {
  if (reason === undefined && isPinned()) await become([...entry, ...args]);
  else run([...entry, ...args]);
}
