export interface TranspileRequest {
  /** A component whose names were checked: what comes out of this runs in the service itself. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Functions in which the component may wait, as jco names them. */
  readonly waitingImports: readonly string[];
  /** Exports that may reach one of those. */
  readonly waitingExports: readonly string[];
}

export interface Transpiled {
  /** A module without imports that exports `instantiate`: jco's contract with `instantiation: "sync"`. It evaluates no text. */
  readonly script: string;
  /** The component's core modules by the names that `instantiate` asks for, as they stand in the component. */
  readonly cores: ReadonlyMap<string, Uint8Array>;
  /** Modules of the transpiler's own that `instantiate` asks for too. They are trusted as the script is. */
  readonly helpers: ReadonlyMap<string, Uint8Array>;
}

/** Turns a component into JavaScript and core modules, once per digest however many ask. */
export interface ComponentTranspiler {
  /** @throws `ERR_ARTIFACT_INVALID`, `ERR_BACKEND_UNAVAILABLE`; a `signal` that is aborted ends only this waiting. */
  transpile(request: TranspileRequest): Promise<Transpiled>;
}
