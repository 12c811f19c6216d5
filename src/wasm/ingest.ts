import { ToolRuntimeError } from "../errors.ts";
import { BinaryError, BoundError, Reader, readSections, sectionIds } from "./binary.ts";
import { hostNamespace, meterModule, type Import, type ImportKind, type MeteredModule, type MeterOptions } from "./meter/index.ts";
import { firstSliceUnits } from "./slices.ts";

/** Larger modules are rewritten off the serving event loop, where there is a way to. */
const offloadedBytes = 256 * 1024;

/** Rewrites a module elsewhere: in a thread of its own. What it throws is what `meterModule` would. */
export type Offload = (bytes: Uint8Array, options: MeterOptions) => Promise<MeteredModule>;

/** How artifacts are made ready. */
export interface Making {
  /** For messages. */
  readonly tool: string;
  /** Whether runs must be the same on every engine. */
  readonly deterministic: boolean;
  readonly offload?: Offload | undefined;
}

export interface IngestOptions {
  /** Whether the module may import this; what nobody granted is refused by name. */
  readonly allows: (one: Import) => boolean;
  /** See {@link MeterOptions.memory}. */
  readonly memory: "import" | number;
  /** See {@link MeterOptions.start}. */
  readonly start?: "keep" | "export";
}

/**
 * Makes a module safe to instantiate: refuses imports that nobody granted, and meters the rest; see {@link meterModule}.
 *
 * @throws `ERR_ARTIFACT_INVALID`, `ERR_IMPORT_DENIED`, `ERR_LIMIT_COMPILE`.
 */
export async function ingestModule(bytes: Uint8Array, making: Making, options: IngestOptions): Promise<MeteredModule> {
  const { tool, deterministic, offload } = making;
  const { allows, memory, start = "keep" } = options;
  const denied = findDenied(bytes, allows);
  if (denied !== undefined) throw deniedError(tool, denied);
  const meterOptions: MeterOptions = { memory, start, deterministic, initialFuel: firstSliceUnits, wait: true };
  let metered: MeteredModule;
  try {
    const isOffloaded = offload !== undefined && bytes.length > offloadedBytes;
    metered = isOffloaded ? await offload(bytes, meterOptions) : meterModule(bytes, meterOptions);
  } catch (error) {
    throw error instanceof BinaryError ? refusal(tool, error) : error;
  }
  const other = metered.imports.find((one) => !allows(one));
  if (other !== undefined) throw deniedError(tool, other);
  return metered;
}

function refusal(tool: string, error: BinaryError): ToolRuntimeError {
  const isOverBound = error instanceof BoundError;
  return new ToolRuntimeError(
    isOverBound ? "ERR_LIMIT_COMPILE" : "ERR_ARTIFACT_INVALID",
    `Cannot take the WebAssembly module of the tool "${tool}": it ${error.message}`,
    { details: { tool, ...(isOverBound ? { limit: "compile" } : {}) }, cause: error },
  );
}

function deniedError(tool: string, { namespace, name, kind }: Import): ToolRuntimeError {
  return new ToolRuntimeError(
    "ERR_IMPORT_DENIED",
    `Cannot take the WebAssembly module of the tool "${tool}": it imports the ${kind} ${JSON.stringify(name)} from ${JSON.stringify(namespace)}, which nothing grants it`,
    { details: { tool, namespace, name, kind } },
  );
}

const importKinds: readonly ImportKind[] = ["function", "table", "memory", "global", "tag"];

/**
 * Finds an import that is not granted without reading anything else, so that whoever asks for too much is told so and not
 * what else is wrong. Finding none says nothing: it reads up to the first import that is no function, and malformed bytes
 * have none.
 */
function findDenied(bytes: Uint8Array, allows: IngestOptions["allows"]): Import | undefined {
  try {
    const section = readSections(bytes).find(({ id }) => id === sectionIds.import);
    if (section === undefined) return undefined;
    const reader = new Reader(bytes, section.start, section.end);
    for (let left = reader.u32(); left > 0; left--) {
      const [namespace, name] = [reader.name(), reader.name()];
      const kind = importKinds[reader.byte()] ?? "tag";
      if (namespace === hostNamespace || (kind !== "function" && !allows({ namespace, name, kind }))) return { namespace, name, kind };
      if (kind !== "function") return undefined;
      reader.u32();
      if (!allows({ namespace, name, kind })) return { namespace, name, kind };
    }
  } catch (error) {
    if (!(error instanceof BinaryError)) throw error;
  }
  return undefined;
}
