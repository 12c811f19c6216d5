// Runs on Node 20 and before anything is installed: plain JavaScript, no dependency.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const stampFile = join("node_modules", ".toolruntime-stamp");

/** @param {string} file */
function readText(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** @param {string | undefined} text */
function parse(text) {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * What an installation depends on: the lock file, the dependencies, and the platform that binaries are for.
 * @param {string} root
 */
export function wantedStamp(root) {
  const { dependencies, devDependencies, allowScripts } = parse(readText(join(root, "package.json"))) ?? {};
  const facts = JSON.stringify([dependencies, devDependencies, allowScripts, process.platform, process.arch]);
  return createHash("sha256")
    .update(readText(join(root, "package-lock.json")) ?? "")
    .update(facts)
    .digest("hex");
}

/**
 * Whether npm's own record of what it installed says the same as the lock file. So an installation that somebody made by
 * hand is taken as it is.
 * @param {string} root
 */
function matchesLock(root) {
  const wanted = parse(readText(join(root, "package-lock.json")))?.packages;
  const installed = parse(readText(join(root, "node_modules", ".package-lock.json")))?.packages;
  if (wanted === undefined || installed === undefined) return false;
  const { dependencies = {}, devDependencies = {} } = parse(readText(join(root, "package.json"))) ?? {};
  const { dependencies: locked = {}, devDependencies: lockedDev = {} } = wanted[""] ?? {};
  if (JSON.stringify([dependencies, devDependencies]) !== JSON.stringify([locked, lockedDev])) return false;
  const isMissing = ([path, one]) => path !== "" && one.optional !== true && installed[path] === undefined;
  const differs = ([path, one]) => (wanted[path] === undefined ? one.optional !== true : wanted[path].version !== one.version);
  return !Object.entries(wanted).some(isMissing) && !Object.entries(installed).some(differs);
}

/**
 * Says why an installation is needed, or nothing.
 * @param {string} root
 * @returns {string | undefined}
 */
export function needsInstall(root) {
  const stamp = readText(join(root, stampFile));
  if (stamp === wantedStamp(root)) return undefined;
  if (matchesLock(root)) return undefined;
  return readText(join(root, "node_modules", ".package-lock.json")) === undefined
    ? "nothing is installed yet"
    : "what is installed is not what package-lock.json says";
}

/**
 * Notes that what is installed is what is wanted; the next start then only compares.
 * @param {string} root
 */
export function noteInstalled(root) {
  const stamp = wantedStamp(root);
  if (readText(join(root, stampFile)) !== stamp) writeFileSync(join(root, stampFile), stamp);
}
