import { ToolRuntimeError } from "../errors.ts";
import type { CompiledArtifact } from "../tool.ts";
import { importScript } from "./component/script.ts";
import type { MadeArtifact } from "./made.ts";

export interface Compiling {
  /** For messages. */
  readonly tool: string;
  /** How long compiling one module may take, in ms. */
  readonly maxCompileMs: number;
}

export interface CompileOptions extends Compiling {
  /** What was compiled already, by its bytes: all snippets are run by one module. */
  readonly known?: WeakMap<Uint8Array, Promise<WebAssembly.Module>>;
}

/** Compiles what `makeArtifact` gave. @throws `ERR_LIMIT_COMPILE`, `ERR_ARTIFACT_UNSUPPORTED`. */
export async function compileArtifact(made: MadeArtifact, options: CompileOptions): Promise<CompiledArtifact> {
  const { modules: bytesByName, script, ...head } = made;
  const modules: Record<string, WebAssembly.Module> = Object.create(null);
  for (const [name, bytes] of Object.entries(bytesByName)) modules[name] = await compileOnce(bytes, options);
  return { ...head, modules, ...(script === undefined ? {} : { instantiate: await importScript(script) }) };
}

function compileOnce(bytes: Uint8Array<ArrayBuffer>, { known, ...options }: CompileOptions): Promise<WebAssembly.Module> {
  const compiled = known?.get(bytes);
  if (compiled !== undefined) return compiled;
  const compiling = compileModule(bytes, options);
  known?.set(bytes, compiling);
  compiling.catch(() => known?.delete(bytes));
  return compiling;
}

/**
 * Compiles what `ingestModule` gave. The engine does it in threads of its own and cannot be told to stop; a caller waits
 * for it only so long, and a module that takes longer is refused. Workers' engines compile nothing inside a request.
 *
 * @throws `ERR_LIMIT_COMPILE`, `ERR_ARTIFACT_UNSUPPORTED`.
 */
export async function compileModule(bytes: Uint8Array<ArrayBuffer>, { tool, maxCompileMs }: Compiling): Promise<WebAssembly.Module> {
  const startedAt = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const observed = performance.now() - startedAt;
      const message = `Cannot take the WebAssembly module of the tool "${tool}": compiling it takes longer than ${maxCompileMs} ms`;
      reject(new ToolRuntimeError("ERR_LIMIT_COMPILE", message, { details: { tool, limit: "compile", value: maxCompileMs, observed } }));
    }, maxCompileMs);
  });
  try {
    return await Promise.race([WebAssembly.compile(bytes), late]);
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    throw new ToolRuntimeError(
      "ERR_ARTIFACT_UNSUPPORTED",
      `Cannot compile the WebAssembly module of the tool "${tool}": the engine refuses it here (${error.message.slice(0, 200)}); where a platform compiles nothing inside a request, deploy what toolruntime build makes of the tool, or give the worker a Worker Loader binding`,
      { details: { tool }, cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}
