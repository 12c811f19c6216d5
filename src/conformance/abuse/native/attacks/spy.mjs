// Reads what belongs to others, and says what it could read, but not what is in it.
import { readdirSync, readFileSync } from "node:fs";

function canRead(path) {
  try {
    return readFileSync(path).length > 0;
  } catch {
    return false;
  }
}

const ownFiles = new Set(["self", "thread-self", String(process.pid)]);
for (const name of readdirSync("/proc")) {
  if (/^\d+$/.test(name) && !ownFiles.has(name) && canRead(`/proc/${name}/environ`)) console.log(`the environment of process ${name}`);
}
const parts = process.cwd().split("/");
for (const up of [1, 2, 3]) {
  const above = parts.slice(0, -up).join("/") || "/";
  try {
    const own = parts.at(-up);
    for (const name of readdirSync(above)) if (name !== own && above !== "/" && above !== "/tmp") console.log(`${above}/${name}`);
  } catch {}
}
console.log("looked");
