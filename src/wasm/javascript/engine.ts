import type { Making } from "../ingest.ts";
import { ingestQuickJs } from "./ingest.ts";

/** The bytes of QuickJS's module, or what reads them. */
export type QuickJsBytes = Uint8Array | (() => Promise<Uint8Array>);

/** What JavaScript runs in: QuickJS, metered once for all snippets. Holds nothing of any run. */
export interface JavaScriptEngine {
  /** The metered module; the same bytes each time, for plain or for deterministic runs. */
  metered(making: Making): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Takes QuickJS for snippets: `wasm({ javascript: javaScriptEngine(bytes) })`. The bytes are
 * `@jitl/quickjs-wasmfile-release-sync/wasm` 0.32.0 and no others; on Node `quickJs()` of `toolruntime/wasm/javascript` reads them.
 */
export function javaScriptEngine(bytes: QuickJsBytes): JavaScriptEngine {
  return new MeteredQuickJs(bytes);
}

class MeteredQuickJs implements JavaScriptEngine {
  readonly #bytes: QuickJsBytes;
  readonly #metered = new Map<boolean, Promise<Uint8Array<ArrayBuffer>>>();

  constructor(bytes: QuickJsBytes) {
    this.#bytes = bytes;
  }

  metered(making: Making): Promise<Uint8Array<ArrayBuffer>> {
    const { deterministic } = making;
    const known = this.#metered.get(deterministic);
    if (known !== undefined) return known;
    const metered = this.#meter(making);
    this.#metered.set(deterministic, metered);
    metered.catch(() => this.#metered.delete(deterministic));
    return metered;
  }

  async #meter(making: Making): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = this.#bytes instanceof Uint8Array ? this.#bytes : await this.#bytes();
    return (await ingestQuickJs(bytes, making)).bytes;
  }
}
