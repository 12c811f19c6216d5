import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, it } from "vitest";
import { unsafe } from "../../src/backends/unsafe/index.ts";
import { abuseSuite, nativeCases } from "../../src/conformance/abuse/index.ts";
import { commandAttacker, commandVictim, linuxSnapshot } from "../../src/conformance/abuse/native/node.ts";
import { createRuntime } from "../../src/index.ts";

const canary = `canary-${crypto.randomUUID()}`;
process.env["TOOLRUNTIME_ABUSE_CANARY"] = canary;

const scratch = mkdtempSync(join(tmpdir(), "toolruntime-abuse-"));
const lines: string[] = [];
const backend = unsafe({ acceptUnsafe: true, scratch, warn: (line) => lines.push(line) });
afterAll(async () => {
  await backend.close();
  rmSync(scratch, { recursive: true });
});

await abuseSuite({ describe, it }, nativeCases, {
  name: backend.name,
  open: (options) => createRuntime({ ...options, backend }),
  attacker: commandAttacker,
  victim: await commandVictim(),
  snapshot: linuxSnapshot({ scratch }),
  canary,
  logged: () => lines.join("\n"),
});
