import type { Tool } from "../../src/index.ts";
import type { WasmCase } from "../abuse/cases/case.ts";
import type { AttackTarget } from "../abuse/attack-target.ts";
import { Attacker } from "../abuse/wasm-attacker.ts";
import { Target } from "../abuse/wasm-target.ts";

/** Every module that the cases attack with: a static worker has to be deployed with them. Found by attacking a service here. */
export async function modulesOf(cases: readonly WasmCase[]): Promise<readonly Uint8Array[]> {
  const { TMPDIR: own } = process.env;
  const target = await Target.open();
  const modules = new Set<Uint8Array>();
  const recording: AttackTarget = {
    isolation: target.isolation,
    tools: target.tools,
    log: target.log,
    nextName: () => target.nextName(),
    request: (...sent) => target.request(...sent),
    audit: () => target.audit(),
    auditLines: () => target.auditLines(),
    leftovers: () => target.leftovers(),
    async toolOf(attack) {
      if (attack instanceof Uint8Array) {
        modules.add(attack);
        return target.toolOf(attack);
      }
      const tool = await attack();
      modules.add(await bytesOf(tool));
      return target.toolOf(async () => tool);
    },
  };
  try {
    for (const { id, attack } of cases) {
      // B10 makes a module for each profile, the others attack with the same ones in all. Whether they hold here is asked elsewhere.
      for (const profile of id === "B10" ? (["dev", "standard"] as const) : (["dev"] as const))
        await attack(new Attacker(recording, profile)).catch(() => undefined);
    }
  } finally {
    await target.close();
    // It has given this process a folder for its temporary files that is gone now.
    if (own === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = own;
  }
  return [...modules];
}

export async function bytesOf({ sources }: Tool): Promise<Uint8Array> {
  const { wasm } = sources;
  if (wasm === undefined) throw new Error("the tool has no WebAssembly");
  return wasm instanceof Uint8Array ? wasm : wasm();
}
