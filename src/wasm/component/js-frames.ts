import { requireJspi } from "../jspi.ts";
import { checkpointName, waitName } from "../meter/names.ts";
import type { Slices } from "../slices.ts";

type GuestFunction = (...parameters: never[]) => unknown;

/** What the generated code calls by itself, in the middle of a call of the guest's or around one, as the tools name it. */
const calledFromJs = /^(?:cabi_|canonical_abi_)|\[dtor\]/;

/**
 * One run's checkpoint where JavaScript stands between modules. A guest cannot be suspended while one of its functions was
 * called from there, so that is counted; there the checkpoint answers at once, and holds the guest to its inline budget.
 *
 * Which functions are called from JavaScript is known by name. One with another name only ends sooner: an engine refuses to
 * suspend it, by an error that the guest can catch (threat: a guest that catches it and goes on), so a checkpoint that comes
 * after an attempt that never got through ends the guest.
 */
export class JsFrames {
  /** What the modules of the run import of the host. */
  readonly imports: WebAssembly.ModuleImports;
  readonly #slices: Slices;
  readonly #originals = new WeakMap<object, WebAssembly.ExportValue>();
  #depth = 0;
  #isWaiting = false;

  constructor(slices: Slices) {
    this.#slices = slices;
    const { Suspending } = requireJspi();
    this.imports = { [checkpointName]: () => this.#look(), [waitName]: new Suspending(() => this.#wait()) };
  }

  #look(): number {
    if (this.#depth > 0) return this.#slices.lookInline();
    if (this.#isWaiting) return this.#slices.endInline();
    const grant = this.#slices.look();
    this.#isWaiting = grant === 0;
    return grant;
  }

  async #wait(): Promise<number> {
    const grant = await this.#slices.wait();
    this.#isWaiting = false;
    return grant;
  }

  /** Whether the guest ended because the engine would not suspend it. */
  get isStuck(): boolean {
    return this.#isWaiting;
  }

  /** Runs what may call the guest from JavaScript. */
  #within<T>(call: () => T): T {
    this.#depth++;
    try {
      return call();
    } finally {
      this.#depth--;
    }
  }

  /** Instantiates a module; its start function runs under this call. */
  instantiate(module: WebAssembly.Module, imports: WebAssembly.Imports): WebAssembly.Instance {
    const linked: WebAssembly.Imports = Object.create(null);
    for (const [namespace, values] of Object.entries(imports)) {
      const own: WebAssembly.ModuleImports = (linked[namespace] = Object.create(null));
      // Between modules there is no JavaScript: what another one exports is linked as it is.
      for (const [name, value] of Object.entries(values)) own[name] = this.#originals.get(Object(value)) ?? value;
    }
    return this.#within(() => new WebAssembly.Instance(module, linked));
  }

  /** The instance as the generated code sees it. */
  guarded(instance: WebAssembly.Instance): WebAssembly.Instance {
    const exports: WebAssembly.Exports = Object.create(null);
    for (const [name, value] of Object.entries(instance.exports)) {
      exports[name] = typeof value === "function" && calledFromJs.test(name) ? this.#guard(value as GuestFunction) : value;
    }
    return { exports };
  }

  #guard(original: GuestFunction): GuestFunction {
    const guarded: GuestFunction = (...parameters) => this.#within(() => original(...parameters));
    this.#originals.set(guarded, original);
    return guarded;
  }
}
