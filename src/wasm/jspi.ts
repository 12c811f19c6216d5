/**
 * JavaScript Promise Integration (https://github.com/WebAssembly/js-promise-integration): a host function may give a
 * promise, and the guest's whole stack waits for it while the event loop goes on.
 */
type AnyFunction = (...parameters: never[]) => unknown;

interface Jspi {
  readonly Suspending: new (host: AnyFunction) => WebAssembly.ImportValue;
  readonly promising: <P extends readonly unknown[]>(guest: (...parameters: P) => unknown) => (...parameters: P) => Promise<unknown>;
}

function isJspi(api: object): api is Jspi {
  return "Suspending" in api && "promising" in api;
}

/** The engine's JSPI, or nothing where it has none. */
export function findJspi(): Jspi | undefined {
  const api: object = WebAssembly;
  return isJspi(api) ? api : undefined;
}

/** @throws TypeError where the engine has no JSPI; the backend's probe says so first. */
export function requireJspi(): Jspi {
  const jspi = findJspi();
  if (jspi === undefined) throw new TypeError("this engine has no WebAssembly.Suspending");
  return jspi;
}
