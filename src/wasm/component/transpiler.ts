/** Makes an instance of a transpiled component. jco's contract with `instantiation: "sync"`. */
export type Instantiate = (
  getCoreModule: (name: string) => WebAssembly.Module,
  imports: Record<string, object>,
  instantiateCore: (module: WebAssembly.Module, imports?: WebAssembly.Imports) => WebAssembly.Instance,
) => Record<string, unknown> | Promise<Record<string, unknown>>;

export interface TranspileRequest {
  /** A component whose names were checked: what comes out of this runs in the service itself. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Functions in which the component may wait, as jco names them. */
  readonly waitingImports: readonly string[];
  /** Exports that may reach one of those. */
  readonly waitingExports: readonly string[];
}

export interface Transpiled {
  readonly instantiate: Instantiate;
  /** The component's core modules by the names that `instantiate` asks for, as they stand in the component. */
  readonly cores: ReadonlyMap<string, Uint8Array>;
}

/** Turns a component into JavaScript and core modules, once per digest however many ask. */
export interface ComponentTranspiler {
  /** @throws `ERR_ARTIFACT_INVALID`, `ERR_BACKEND_UNAVAILABLE`; a `signal` that is aborted ends only this waiting. */
  transpile(request: TranspileRequest): Promise<Transpiled>;
}
