/** How jco 1.35 writes a module of its own into the script: a statement that begins its line, which no name in the script can. */
const inlineModule = /^( *const \w+ = )new WebAssembly\.Module\(new Uint8Array\(\[([\s\w,]*)\]\)\);$/gm;

export interface Hoisted {
  readonly script: string;
  /** By the names that the script asks `getCoreModule` for. */
  readonly modules: ReadonlyMap<string, Uint8Array>;
}

/**
 * Takes the modules that a generated script compiles by itself at each instantiation out of it, so that they are compiled as the
 * others are: some platforms compile nothing inside a request.
 */
export function hoistModules(script: string): Hoisted {
  const modules = new Map<string, Uint8Array>();
  const hoisted = script.replace(inlineModule, (_, head: string, bytes: string) => {
    const name = `inline${modules.size}.wasm`;
    const numbers = bytes.split(",").filter((part) => part.trim() !== "");
    modules.set(name, Uint8Array.from(numbers, Number));
    return `${head}getCoreModule('${name}');`;
  });
  return { script: hoisted, modules };
}
