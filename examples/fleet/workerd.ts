import { execFile } from "node:child_process";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Child, file, program } from "./child.ts";

const run = promisify(execFile);

export interface EdgeOptions {
  /** For what is built. */
  readonly folder: string;
  /** Who has it may call. */
  readonly token: string;
  readonly nodes: readonly { readonly url: string; readonly token: string }[];
}

/** Builds the light tools into a worker and starts it in workerd, the runtime of Cloudflare Workers, on this machine. */
export async function startEdge({ folder, token, nodes }: EdgeOptions): Promise<Child> {
  const light = join(folder, "light");
  const built = join(folder, "built");
  await mkdir(light, { recursive: true });
  await cp(file("../tools/hash"), join(light, "hash"), { recursive: true });
  await run(process.execPath, [program, "build", "--tools", light, "--out", built]);
  const config = {
    name: "toolruntime-fleet",
    main: file("edge.ts"),
    compatibility_date: "2026-11-01",
    compatibility_flags: ["enable_request_signal"],
    alias: {
      "toolruntime:tools": join(built, "index.js"),
      "toolruntime:engine": join(built, "engine.js"),
      "toolruntime:dynamic": file("../../src/edge/cloudflare/no-dynamic.ts"),
      "toolruntime/wasm/abi": file("../../src/wasm/abi/index.ts"),
    },
    vars: {
      TOOLRUNTIME_SECURITY: "dev",
      TOOLRUNTIME_TOKENS: JSON.stringify([{ token, principal: "you", tenant: "example" }]),
      TOOLRUNTIME_NODES: JSON.stringify(nodes),
    },
  };
  const path = join(folder, "wrangler.json");
  await writeFile(path, JSON.stringify(config));
  return Child.start([file("serve-worker.ts"), path]);
}
