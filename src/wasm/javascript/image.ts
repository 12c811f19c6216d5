import { checkpointName, hostNamespace, waitName } from "../meter/names.ts";
import { GuestMemory } from "../wasi/guest-memory.ts";
import { QuickJsClient, type Address } from "./client.ts";
import { harness, harnessFile } from "./harness.ts";
import { streams } from "./host.ts";
import {
  quickJsHeapAt,
  quickJsImports,
  quickJsMemory,
  quickJsMinPages,
  quickJsNamespace,
  quickJsStackAt,
  type QuickJsImport,
} from "./quickjs.ts";

/** What there is before a run, by its address. */
export interface Prepared {
  readonly runtime: Address;
  readonly context: Address;
  /** The harness. */
  readonly begin: Address;
  readonly stdout: Address;
  readonly stderr: Address;
}

/**
 * The memory of a QuickJS that has a context and the harness in it, and has not run anything else: what each run begins with. Making
 * it anew takes several times as long as a small snippet.
 */
export interface QuickJsImage extends Prepared {
  /** All that is not zero, apart from the stack, which is empty. */
  readonly pieces: readonly { readonly at: number; readonly bytes: Uint8Array<ArrayBuffer> }[];
  readonly size: number;
  /** Where the state of `Math.random` is: 64 bits, not all of them zero. */
  readonly seedAt: Address;
}

/** Everything of the language, as `JS_NewContext` has it. */
const allIntrinsics = 0;
/** The time that is shown while a context is made, in ms. QuickJS begins its random numbers with it, in µs. */
const markerMs = 0x12_3456_7890;
/** No run is limited here; what runs is this package's own. */
const endlessFuel = 2 ** 30;
const granuleBytes = 4096;

/** One image for each module of QuickJS, made when it is first wanted. */
export class QuickJsImages {
  readonly #images = new WeakMap<WebAssembly.Module, Promise<QuickJsImage>>();

  of(module: WebAssembly.Module, maxStackBytes: number): Promise<QuickJsImage> {
    const known = this.#images.get(module);
    if (known !== undefined) return known;
    const image = makeImage(module, maxStackBytes);
    this.#images.set(module, image);
    image.catch(() => this.#images.delete(module));
    return image;
  }
}

async function makeImage(module: WebAssembly.Module, maxStackBytes: number): Promise<QuickJsImage> {
  const memory = new WebAssembly.Memory({ initial: quickJsMinPages, maximum: quickJsMinPages });
  const guest = new GuestMemory();
  guest.bind(memory);
  const instance = new WebAssembly.Instance(module, importsFor(memory, guest));
  const client = new QuickJsClient(instance, { memory: guest, charge: () => undefined, canWait: false });
  const prepared = await prepare(client, maxStackBytes);
  const bytes = new Uint8Array(memory.buffer);
  const pieces = [...readPieces(bytes)];
  const size = pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
  return { ...prepared, pieces, size, seedAt: findSeed(bytes) };
}

async function prepare(client: QuickJsClient, maxStackBytes: number): Promise<Prepared> {
  await client.initialize();
  const runtime = await client.make("newRuntime");
  await client.enter("setMaxStackSize", runtime, maxStackBytes);
  const context = await client.make("newContext", runtime, allIntrinsics);
  const begin = await client.evaluate(context, harness, { file: harnessFile, kind: "script" });
  if ((await client.thrown(context, begin)) !== undefined) throw new TypeError("the harness of snippets does not evaluate");
  const stdout = await client.newFunction(context, streams.stdout);
  const stderr = await client.newFunction(context, streams.stderr);
  return { runtime, context, begin, stdout, stderr };
}

function importsFor(memory: WebAssembly.Memory, guest: GuestMemory): WebAssembly.Imports {
  const own: WebAssembly.ModuleImports = Object.create(null);
  for (const [what, [name]] of Object.entries(quickJsImports)) {
    own[name] = () => {
      throw new TypeError(`QuickJS calls ${what} before there is a run`);
    };
  }
  const nameOf = (what: QuickJsImport): string => quickJsImports[what][0];
  own[nameOf("dateNow")] = () => markerMs;
  // There is no environment.
  own[nameOf("environSizes")] = (count: number, size: number) => {
    guest.refresh();
    guest.setU32(count, 0);
    guest.setU32(size, 0);
    return 0;
  };
  own[nameOf("environ")] = () => 0;
  own[quickJsMemory] = memory;
  const engine: WebAssembly.ModuleImports = Object.create(null);
  engine[checkpointName] = engine[waitName] = () => endlessFuel;
  const imports: WebAssembly.Imports = Object.create(null);
  imports[quickJsNamespace] = own;
  imports[hostNamespace] = engine;
  return imports;
}

/** What the module has data in goes as it is: an instance begins with the data of its own. Of the heap, what is not zero. */
function* readPieces(bytes: Uint8Array<ArrayBuffer>): Generator<QuickJsImage["pieces"][number]> {
  yield { at: 0, bytes: bytes.slice(0, quickJsStackAt) };
  let from = quickJsHeapAt;
  for (let at = from; at < bytes.length; at += granuleBytes) {
    if (bytes.subarray(at, at + granuleBytes).some((byte) => byte !== 0)) continue;
    if (from < at) yield { at: from, bytes: bytes.slice(from, at) };
    from = at + granuleBytes;
  }
  if (from < bytes.length) yield { at: from, bytes: bytes.slice(from) };
}

function findSeed(bytes: Uint8Array<ArrayBuffer>): Address {
  const view = new DataView(bytes.buffer);
  const seed = BigInt(markerMs) * 1000n;
  const found: number[] = [];
  for (let at = quickJsHeapAt; at < bytes.length; at += 8) {
    if (view.getBigUint64(at, true) === seed) found.push(at);
  }
  const [seedAt, ...others] = found;
  if (seedAt === undefined || others.length > 0) throw new TypeError(`QuickJS has ${found.length} seeds`);
  return seedAt;
}
