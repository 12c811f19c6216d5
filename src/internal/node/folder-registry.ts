import { watch as watchPath, type FSWatcher } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ToolRuntimeError, toToolRuntimeError } from "../../errors.ts";
import { createRegistry, type Registry } from "../../registry.ts";
import type { Tool } from "../../tool.ts";
import { stateOf } from "./bounded-file.ts";
import { loadTool, manifestName, type LoadToolOptions } from "./tool-folder.ts";

/** A tool folder that could not be taken as it is. */
export interface ToolProblem {
  readonly folder: string;
  readonly error: ToolRuntimeError;
  /** The version that goes on in place of the broken one. */
  readonly keeps?: string;
}

export interface FolderRegistryOptions extends LoadToolOptions {
  /** Each of its sub-folders that has a `tool.json` is a tool. Those whose names start with a dot are passed over. */
  readonly folder: string;
  /** Whether to follow changes on disk. Default `false`. */
  readonly watch?: boolean;
  /** Told once of each problem, and again when it changes. */
  readonly onProblem?: (problem: ToolProblem) => void;
  /** Told after each reload that changed the tools. */
  readonly onChange?: (tools: readonly Tool[]) => void;
}

export interface FolderRegistry extends Registry, AsyncDisposable {
  /** What could not be taken at the last look. */
  problems(): readonly ToolProblem[];
  /** Looks at the folder again. All tools change in one step. */
  reload(): Promise<void>;
  /** Stops watching. The tools stay. */
  close(): Promise<void>;
}

/** Editors and compilers write a file in several steps; a look in between would see half of it. */
const settleMs = 100;

/**
 * Reads a folder of tools. A broken tool is reported and the others are taken; while watching, the last good version of a
 * tool goes on when its manifest breaks.
 *
 * @throws `ERR_CONFIG_INVALID` where the folder itself cannot be read.
 */
export async function folderRegistry(options: FolderRegistryOptions): Promise<FolderRegistry> {
  const registry = new WatchedFolder(options);
  await registry.open();
  return registry;
}

interface Loaded {
  readonly tool: Tool;
  /** Changes when the manifest or the module changes; an unchanged tool stays the same object, and so do caches by it. */
  readonly stamp: string;
}

class WatchedFolder implements FolderRegistry {
  readonly #options: FolderRegistryOptions;
  readonly #registry = createRegistry();
  readonly #watchers = new Map<string, { readonly watcher: FSWatcher; readonly inode: number }>();
  readonly #unwatchable = new Set<string>();
  #loaded = new Map<string, Loaded>();
  #problems = new Map<string, ToolProblem>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reloading: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: FolderRegistryOptions) {
    this.#options = options;
  }

  get(ref: Parameters<Registry["get"]>[0]): Tool | undefined {
    return this.#registry.get(ref);
  }

  list(): readonly Tool[] {
    return this.#registry.list();
  }

  missing(ref: Parameters<Registry["missing"]>[0]): ToolRuntimeError {
    return this.#registry.missing(ref);
  }

  problems(): readonly ToolProblem[] {
    return [...this.#problems.values()];
  }

  async open(): Promise<void> {
    try {
      await this.#load();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  reload(): Promise<void> {
    const next = this.#reloading.then(() => this.#load());
    this.#reloading = next.catch(() => undefined);
    return next;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const { watcher } of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    await this.#reloading;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #load(): Promise<void> {
    const { folder, watch } = this.#options;
    // Each folder is watched before it is looked at: a change in between is then not lost.
    if (watch === true) await this.#follow(folder);
    const names = await toolFolders(folder);
    const loaded = new Map<string, Loaded>();
    const problems = new Map<string, ToolProblem>();
    const taken = createRegistry();
    for (const name of names) {
      const path = join(folder, name);
      if (watch === true) await this.#follow(path);
      const before = this.#loaded.get(path);
      let current: Loaded | undefined;
      try {
        current = await this.#loadOne(path, before);
        taken.add(current.tool);
      } catch (error) {
        const broken = toToolRuntimeError(error);
        current = before !== undefined && tryAdd(taken, before.tool) ? before : undefined;
        problems.set(path, { folder: path, error: broken, ...(current === undefined ? {} : { keeps: current.tool.manifest.version }) });
      }
      if (current !== undefined) loaded.set(path, current);
    }
    if (this.#isClosed) return;
    this.#take(loaded, problems, taken.list());
    if (watch === true) await this.#followAll();
  }

  #take(loaded: Map<string, Loaded>, problems: Map<string, ToolProblem>, tools: readonly Tool[]): void {
    const { onProblem, onChange } = this.#options;
    const known = this.#problems;
    const had = this.#registry.list();
    this.#loaded = loaded;
    this.#problems = problems;
    this.#registry.replaceAll(tools);
    for (const [path, problem] of problems) {
      if (known.get(path)?.error.message !== problem.error.message) onProblem?.(problem);
    }
    if (had.length !== tools.length || had.some((tool, index) => tool !== tools[index])) onChange?.(tools);
  }

  async #loadOne(path: string, before: Loaded | undefined): Promise<Loaded> {
    const manifest = await readFile(join(path, manifestName), "utf8").catch(() => "");
    if (before !== undefined && before.stamp === `${manifest}${await moduleStamp(path, before.tool)}`) return before;
    const tool = await loadTool(path, this.#options);
    return { tool, stamp: `${manifest}${await moduleStamp(path, tool)}` };
  }

  /** Lets go of folders that hold no tool any more, and follows those of the modules. */
  async #followAll(): Promise<void> {
    const wanted = new Set([this.#options.folder, ...this.#loaded.keys(), ...this.#problems.keys()]);
    for (const [path, { tool }] of this.#loaded) {
      for (const file of artifactFiles(tool)) wanted.add(dirname(join(path, file)));
    }
    for (const [path, { watcher }] of this.#watchers) {
      if (!wanted.has(path)) this.#unfollow(path, watcher);
    }
    for (const path of wanted) {
      // What happened in a folder between the look and this moment was not seen.
      if (await this.#follow(path)) this.#schedule();
    }
  }

  /** Watches a folder. Says whether that is new; a folder that another one of the same name replaced is watched anew. */
  async #follow(path: string): Promise<boolean> {
    const inode = await stat(path).then(
      ({ ino }) => ino,
      () => undefined,
    );
    const known = this.#watchers.get(path);
    if (this.#isClosed || inode === undefined || known?.inode === inode) return false;
    if (known !== undefined) this.#unfollow(path, known.watcher);
    try {
      const watcher = watchPath(path, { persistent: false }, () => this.#schedule());
      watcher.on("error", () => this.#unfollow(path, watcher));
      this.#watchers.set(path, { watcher, inode });
      return true;
    } catch (error) {
      if (this.#unwatchable.has(path)) return false;
      this.#unwatchable.add(path);
      const message = `Cannot watch the folder "${path}": ${stateOf(error)}; changes in it are not seen`;
      this.#options.onProblem?.({ folder: path, error: new ToolRuntimeError("ERR_CONFIG_INVALID", message, { cause: error }) });
      return false;
    }
  }

  #unfollow(path: string, watcher: FSWatcher): void {
    watcher.close();
    if (this.#watchers.get(path)?.watcher === watcher) this.#watchers.delete(path);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      this.reload().catch((error: unknown) => {
        this.#options.onProblem?.({ folder: this.#options.folder, error: toToolRuntimeError(error) });
      });
    }, settleMs);
    this.#timer.unref();
  }
}

function tryAdd(registry: ReturnType<typeof createRegistry>, tool: Tool): boolean {
  try {
    registry.add(tool);
    return true;
  } catch {
    return false;
  }
}

/** The sub-folders that have a manifest, in a fixed order. */
async function toolFolders(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    throw new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot read the tools folder "${folder}": ${stateOf(error)}`, {
      details: { folder },
      cause: error,
    });
  }
  const found: string[] = [];
  for (const name of names.toSorted()) {
    if (name.startsWith(".")) continue;
    const hasManifest = await stat(join(folder, name, manifestName)).then(
      () => true,
      () => false,
    );
    if (hasManifest) found.push(name);
  }
  return found;
}

function artifactFiles({ manifest }: Tool): string[] {
  const { wasm, code } = manifest.artifacts;
  return [wasm?.file, code?.file].filter((file) => file !== undefined);
}

/** Tells one state of the artifacts' files from another without reading them. */
async function moduleStamp(path: string, tool: Tool): Promise<string> {
  const stamps = artifactFiles(tool).map((file) =>
    stat(join(path, file), { bigint: true }).then(
      ({ ino, size, mtimeNs }) => `\0${ino} ${size} ${mtimeNs}`,
      () => "\0gone",
    ),
  );
  return (await Promise.all(stamps)).join("");
}
