import { join } from "node:path";
import { env } from "node:process";

/** Where everything is: one folder, so that nothing else of the machine is touched, and all of it can be taken away. */
export function layout(given) {
  const root = given ?? env["TOOLRUNTIME_BACKENDS"] ?? "/var/tmp/toolruntime-backends";
  const at = (...parts) => join(root, ...parts);
  return {
    root,
    at,
    state: at("state.json"),
    bin: at("bin"),
    logs: at("logs"),
    images: at("images"),
    layout: at("images", "layout"),
    sockets: { docker: at("docker.sock"), containerd: at("containerd.sock"), podman: at("podman.sock") },
  };
}
