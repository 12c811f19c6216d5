import type { Backend, Capability, InputFile, Leftover, Plan, Probe, ReapReport, RunIo, RunReport } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import type { SecurityProfile } from "../profile.ts";
import type { WasmDriver } from "./driver.ts";
import { pageBytes } from "./binary.ts";
import { quickJsMinPages } from "./javascript/quickjs.ts";
import type { EngineArtifact } from "./agreed.ts";
import type { MemoryFile } from "./run-types.ts";

/** What the engine enforces wherever it runs: it is in the module, in the host functions or in the checkpoints. */
const enforced: Capability["limits"] = {
  timeout: { by: "checkpoint" },
  cpuTime: { by: "checkpoint" },
  cpu: { by: "module", min: 1 },
  fuel: { by: "module" },
  memory: { by: "module", min: pageBytes },
  disk: { by: "virtual file system" },
  processes: { by: "module" },
};

/** What a snippet runs in takes memory of its own, and has no files. */
const enforcedOnCode: Capability["limits"] = {
  memory: { by: "module", min: quickJsMinPages * pageBytes },
  disk: { by: "import allow-list" },
};

/** The profiles that each wall is for. A profile that takes a thinner one has no use for a process of its own. */
const profilesOf: Readonly<Record<WasmDriver["isolation"], readonly SecurityProfile[]>> = {
  wasm: ["dev", "standard"],
  "wasm-process": ["hardened"],
  isolate: ["dev", "standard"],
};

/** What the engine can do does not change while it runs. */
const dayMs = 86_400_000;

const noFiles: readonly MemoryFile[] = [];

async function readFile(file: InputFile): Promise<MemoryFile> {
  return { path: file.path, bytes: await file.bytes() };
}

/** Runs WebAssembly by the driver that gives the wall which the plan names. */
export class WasmBackend implements Backend {
  readonly name = "wasm";
  readonly #drivers: readonly WasmDriver[];

  constructor(drivers: readonly WasmDriver[]) {
    this.#drivers = drivers;
  }

  async probe(): Promise<Probe> {
    const probes = await Promise.all(this.#drivers.map(async (driver) => ({ driver, found: await driver.probe() })));
    const capabilities: Capability[] = [];
    const notes: string[] = [];
    for (const { driver, found } of probes) {
      if (found.status === "ready") {
        const { artifacts = ["wasm"], limits } = found;
        capabilities.push(...artifacts.map((artifact) => capabilityOf(driver, artifact, limits)));
        notes.push(...(found.notes ?? []));
      } else {
        notes.push(`Isolation ${driver.isolation} is not there: ${found.reason}; ${found.advice}`);
      }
    }
    const [first] = probes;
    if (capabilities.length > 0 || first === undefined || first.found.status === "ready")
      return { status: "ready", capabilities, ...(notes.length === 0 ? {} : { notes }), validForMs: dayMs };
    const { reason, advice } = first.found;
    return { status: "unavailable", reason, advice, capabilities, validForMs: dayMs };
  }

  #driverOf({ isolation }: Plan): WasmDriver {
    const driver = this.#drivers.find((one) => one.isolation === isolation);
    if (driver !== undefined) return driver;
    throw new ToolRuntimeError("ERR_INTERNAL", `Cannot run a task on backend "wasm": no driver isolates by ${isolation}`);
  }

  prepare(plan: Plan, signal: AbortSignal): Promise<void> | void {
    return this.#driverOf(plan).prepare(plan, signal);
  }

  async run(plan: Plan, io: RunIo): Promise<RunReport> {
    const files = io.files.length === 0 ? noFiles : await Promise.all(io.files.map(readFile));
    const { files: made, ...report } = await this.#driverOf(plan).run(plan, { ...io, files });
    for (const { path, bytes } of made) await io.file({ path, content: bytes });
    return report;
  }

  async leftovers(): Promise<readonly Leftover[]> {
    return (await Promise.all(this.#drivers.map((driver) => driver.leftovers()))).flat();
  }

  async reap(): Promise<ReapReport> {
    const reports = await Promise.all(this.#drivers.map((driver) => driver.reap()));
    return { removed: reports.flatMap(({ removed }) => removed) };
  }

  async close(): Promise<void> {
    await Promise.all(this.#drivers.map((driver) => driver.close()));
  }
}

function capabilityOf({ isolation }: WasmDriver, artifact: EngineArtifact, limits: Capability["limits"] = {}): Capability {
  return {
    artifact,
    profiles: profilesOf[isolation],
    isolation,
    limits: { ...enforced, ...(artifact === "code" ? enforcedOnCode : {}), ...limits },
    network: "none",
    deterministic: true,
  };
}
