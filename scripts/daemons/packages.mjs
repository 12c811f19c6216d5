import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";

const packages = ["docker.io", "containerd", "runc", "crun", "runsc", "podman", "busybox-static", "python3", "ca-certificates"];
const policy = "/usr/sbin/policy-rc.d";

function isInstalled(name) {
  const { stdout } = spawnSync("dpkg-query", ["-W", "-f", "${Status}", name], { encoding: "utf8" });
  return stdout?.includes("ok installed") === true;
}

/** Installs what is missing, and starts none of it: Debian's packages would start services that change the firewall. */
export function install() {
  const missing = packages.filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  console.log(`Installing ${missing.join(", ")}`);
  const hasPolicy = existsSync(policy);
  if (!hasPolicy) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const run = (...args) =>
      execFileSync("apt-get", args, { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
    run("update", "-qq");
    run("install", "-y", "-qq", "--no-install-recommends", ...missing);
  } finally {
    if (!hasPolicy) rmSync(policy);
  }
}
