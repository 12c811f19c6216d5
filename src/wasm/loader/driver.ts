import type { Leftover, Plan, ReapReport } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { sha256 } from "../../internal/digest.ts";
import type { Digest } from "../../tool.ts";
import type { DriverProbe, WasmDriver } from "../driver.ts";
import { findJspi } from "../jspi.ts";
import { Artifacts, type ArtifactOptions, type KeptArtifact } from "./artifacts.ts";
import type { WorkerCode, WorkerLoader } from "./client.ts";
import { IsolateSession, isUnanswered } from "./session.ts";
import { isolateCode, isolateIdentity } from "./spec.ts";
import type { WasmIo, WasmReport } from "../run-types.ts";

export interface LoaderSettings extends ArtifactOptions {
  readonly loader: WorkerLoader | undefined;
  readonly engine: string;
  readonly compatibilityDate: string;
  readonly maxIsolates: number;
}

/** Ids of isolates of which a load has failed. */
const maxFailures = 1000;

/** What a plan's isolate is known by, and of which artifact that was said. */
interface Identity {
  readonly made: Digest;
  readonly id: string;
}

/** Runs modules in isolates of their own, which a Worker Loader binding gives. */
export class LoaderDriver implements WasmDriver {
  readonly isolation = "isolate";
  readonly #settings: LoaderSettings;
  readonly #artifacts: Artifacts;
  readonly #identities = new WeakMap<Plan, Identity>();
  /** Names of isolates. */
  readonly #shared = new Set<string>();
  readonly #failures = new Map<string, number>();
  #engine: Digest | undefined;

  constructor(settings: LoaderSettings) {
    this.#settings = settings;
    this.#artifacts = new Artifacts(settings);
  }

  async probe(): Promise<DriverProbe> {
    const missing = this.#missing();
    if (missing !== undefined) return { status: "unavailable", ...missing };
    return { status: "ready", artifacts: this.#settings.javascript === undefined ? ["wasm"] : ["wasm", "code"], notes };
  }

  #missing(): { readonly reason: string; readonly advice: string } | undefined {
    const { loader, engine } = this.#settings;
    if (typeof loader?.get !== "function")
      return { reason: "there is no Worker Loader binding", advice: "add worker_loaders to the worker's configuration" };
    if (engine === "") return { reason: "the engine's bundle is empty", advice: "build it with npm run build" };
    if (findJspi() !== undefined) return undefined;
    return {
      reason: "this engine has no JavaScript Promise Integration (WebAssembly.Suspending)",
      advice: "deploy with a later compatibility date",
    };
  }

  prepare(plan: Plan): Promise<void> | void {
    if (this.#artifacts.peek(plan) === undefined) return this.#prepare(plan);
  }

  async #prepare(plan: Plan): Promise<void> {
    await this.#artifacts.get(plan);
  }

  async run(plan: Plan, io: WasmIo): Promise<WasmReport> {
    const kept = this.#artifacts.peek(plan) ?? (await this.#artifacts.get(plan));
    const id = await this.#idOf(plan, kept);
    try {
      return await this.#perform(plan, io, { id, kept });
    } catch (error) {
      if (!isUnanswered(error) || io.signal.aborted) throw error;
      this.#countFailure(id);
      return await this.#perform(plan, io, { id, kept });
    }
  }

  #perform(plan: Plan, io: WasmIo, { id, kept }: { readonly id: string; readonly kept: KeptArtifact }): Promise<WasmReport> {
    const { loader, engine, compatibilityDate } = this.#settings;
    if (loader === undefined) throw new ToolRuntimeError("ERR_INTERNAL", "Cannot run a task in an isolate: there is no binding");
    // What a binding gives belongs to the request in which it was asked.
    const failures = this.#failures.get(id) ?? 0;
    const name = failures === 0 ? id : `${id} ${failures}`;
    const code = (): WorkerCode => isolateCode({ plan, made: kept.made, engine, compatibilityDate });
    const worker = this.#isShared(name) ? loader.get(name, async () => code()) : loader.load(code());
    return new IsolateSession(plan, io).perform(worker.getEntrypoint());
  }

  /**
   * Whether an isolate has a name by which it is found again. Threat: with ever other limits a caller gets ever more of them, and
   * workerd that runs by itself drops none that has a name.
   */
  #isShared(name: string): boolean {
    if (this.#shared.has(name)) return true;
    if (this.#shared.size >= this.#settings.maxIsolates) return false;
    this.#shared.add(name);
    return true;
  }

  /**
   * A load fails for all who wait for it when the request that began it ends, and workerd keeps under an id also what failed: the
   * next is known by another name.
   */
  #countFailure(id: string): void {
    if (this.#failures.size >= maxFailures) this.#failures.clear();
    this.#failures.set(id, (this.#failures.get(id) ?? 0) + 1);
  }

  /** The id of the isolate that a plan's runs share. */
  async #idOf(plan: Plan, { digest: made }: KeptArtifact): Promise<string> {
    const known = this.#identities.get(plan);
    if (known?.made === made) return known.id;
    const { engine, compatibilityDate } = this.#settings;
    this.#engine ??= await sha256(engine);
    const id = await sha256(isolateIdentity({ plan, made, engine: this.#engine, compatibilityDate }));
    this.#identities.set(plan, { made, id });
    return id;
  }

  /** The platform drops isolates by itself. */
  async leftovers(): Promise<readonly Leftover[]> {
    return [];
  }

  async reap(): Promise<ReapReport> {
    return { removed: [] };
  }

  async close(): Promise<void> {
    this.#artifacts.clear();
  }
}

const notes: readonly string[] = [
  "Isolates have no network and no bindings; runs of one tool under the same limits share one, each in an instance of its own",
  "On Cloudflare's machines limits.cpuMs ends an isolate that its checkpoints do not; workerd that runs by itself does not hold it",
];
