import { ToolRuntimeError } from "./errors.ts";
import { didYouMean } from "./internal/nearest.ts";
import type { Tool, ToolRef } from "./tool.ts";

/** Tools by name, version and digest. */
export interface Registry {
  /** The tool, or nothing. Without version or digest, the highest release (a pre-release only where there is no release). */
  get(ref: ToolRef): Tool | undefined;
  /** Every tool, by name and then by version, the highest first. */
  list(): readonly Tool[];
  /** The error that says a tool is not here, with the nearest name that is. */
  missing(ref: ToolRef): ToolRuntimeError;
}

/** A registry that can be changed. */
export interface MutableRegistry extends Registry {
  /** @throws `ERR_MANIFEST_INVALID` where the same name and version is there with another digest. */
  add(tool: Tool): void;
  /** Whether it was there. */
  remove(ref: ToolRef): boolean;
  /** Takes these tools in place of all that were there. */
  replaceAll(tools: readonly Tool[]): void;
}

export function createRegistry(tools: readonly Tool[] = []): MutableRegistry {
  const registry = new MemoryRegistry();
  for (const tool of tools) registry.add(tool);
  return registry;
}

class MemoryRegistry implements MutableRegistry {
  #byName = new Map<string, Tool[]>();

  get({ name, version, digest }: ToolRef): Tool | undefined {
    const versions = this.#byName.get(name) ?? [];
    return versions.find(
      (tool) => (version === undefined || tool.manifest.version === version) && (digest === undefined || tool.digest === digest),
    );
  }

  list(): readonly Tool[] {
    return [...this.#byName.keys()].toSorted().flatMap((name) => this.#byName.get(name) ?? []);
  }

  missing({ name, version, digest }: ToolRef): ToolRuntimeError {
    const versions = this.#byName.get(name) ?? [];
    const wanted = [name, version, digest].filter((part) => part !== undefined).join(" ");
    const known = versions.map((tool) => tool.manifest.version).join(", ");
    const hint = versions.length > 0 ? `; there is version ${known}` : didYouMean(name, [...this.#byName.keys()]);
    return new ToolRuntimeError(
      "ERR_TOOL_NOT_FOUND",
      `Cannot find the tool ${JSON.stringify(wanted.slice(0, 200))}: it is not in the registry${hint}`,
      { details: { tool: name.slice(0, 200) } },
    );
  }

  add(tool: Tool): void {
    const { name, version } = tool.manifest;
    const versions = this.#byName.get(name) ?? [];
    const same = versions.find((other) => other.manifest.version === version);
    if (same?.digest === tool.digest) return;
    if (same !== undefined) {
      throw new ToolRuntimeError(
        "ERR_MANIFEST_INVALID",
        `Cannot add the tool "${name}" ${version}: another one of that version is registered; raise the version`,
        {
          details: { tool: name, version, registered: same.digest, offered: tool.digest },
        },
      );
    }
    this.#byName.set(
      name,
      [...versions, tool].toSorted((a, b) => compareVersions(b.manifest.version, a.manifest.version)),
    );
  }

  remove(ref: ToolRef): boolean {
    const tool = this.get(ref);
    if (tool === undefined) return false;
    const rest = (this.#byName.get(ref.name) ?? []).filter((other) => other !== tool);
    if (rest.length === 0) this.#byName.delete(ref.name);
    else this.#byName.set(ref.name, rest);
    return true;
  }

  replaceAll(tools: readonly Tool[]): void {
    const next = new MemoryRegistry();
    for (const tool of tools) next.add(tool);
    this.#byName = next.#byName;
  }
}

/** Releases before pre-releases, then by precedence (Semantic Versioning 2.0.0, §11; build metadata does not count). */
export function compareVersions(a: string, b: string): number {
  const [releaseA, preA] = splitVersion(a);
  const [releaseB, preB] = splitVersion(b);
  if ((preA === undefined) !== (preB === undefined)) return preA === undefined ? 1 : -1;
  return compareParts(releaseA, releaseB) || compareParts(preA ?? "", preB ?? "");
}

function splitVersion(version: string): [string, string | undefined] {
  const [core = ""] = version.split("+");
  const dash = core.indexOf("-");
  return dash === -1 ? [core, undefined] : [core.slice(0, dash), core.slice(dash + 1)];
}

function compareParts(a: string, b: string): number {
  const partsA = a.split(".");
  const partsB = b.split(".");
  for (let index = 0; index < Math.max(partsA.length, partsB.length); index++) {
    const order = comparePart(partsA[index], partsB[index]);
    if (order !== 0) return order;
  }
  return 0;
}

function comparePart(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1;
  const isNumberA = /^\d+$/.test(a);
  const isNumberB = /^\d+$/.test(b);
  // Without leading zeros the longer number is the greater one, also where it is too great for a double.
  if (isNumberA && isNumberB && a.length !== b.length) return a.length - b.length;
  if (isNumberA !== isNumberB) return isNumberA ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
