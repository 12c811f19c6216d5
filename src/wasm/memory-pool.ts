import { ToolRuntimeError } from "../errors.ts";
import { pageBytes, type Bounds } from "./binary.ts";

/** A memory that one run holds. */
export interface Lease {
  readonly memory: WebAssembly.Memory;
  /** What the memory can grow to, in bytes, tried on the engine. */
  readonly maxBytes: number;
  readonly source: string;
}

/** A memory of at most so many bytes for a module that wants these bounds. */
export interface Wish {
  /** For messages. */
  readonly tool: string;
  /** What the module says of its memory, in pages. */
  readonly bounds: Bounds;
  readonly limitBytes: number;
}

const maxPages = 65_536;

interface SizeClass {
  readonly min: number;
  readonly max: number;
  readonly free: WebAssembly.Memory[];
}

/** Above this, mapping a fresh memory costs less than zeroing a used one. */
const maxPooledPages = 256;

/**
 * Memories for runs, by initial and greatest size. A memory that neither grew nor saw a trap is zeroed and used again:
 * mapping a fresh one costs more than all the rest of a small run.
 */
export class MemoryPool {
  readonly #classes = new Map<number, SizeClass>();
  readonly #maxFreeBytes: number;
  #freeBytes = 0;

  constructor(maxFreeBytes: number) {
    this.#maxFreeBytes = maxFreeBytes;
  }

  /**
   * A memory that grows to the limit, or to the module's own maximum where that is smaller.
   *
   * @throws `ERR_LIMIT_MEMORY` where the module begins with more, `ERR_BACKEND_FAILED`.
   */
  lease({ tool, bounds, limitBytes }: Wish): Lease {
    const { min, max = maxPages } = bounds;
    const cap = Math.min(Math.floor(limitBytes / pageBytes), max, maxPages);
    if (min <= cap) return this.take(min, cap);
    const [needed, limit] = [min * pageBytes, cap * pageBytes];
    throw new ToolRuntimeError(
      "ERR_LIMIT_MEMORY",
      `Cannot start the tool "${tool}": it begins with ${needed} bytes of memory, its limit "memory" leaves it ${limit}`,
      { details: { limit: "memory", value: limit, observed: needed } },
    );
  }

  /** @throws `ERR_BACKEND_FAILED` where the machine has no room for another memory. */
  take(min: number, max: number): Lease {
    const sizeClass = this.#classOf(min, max);
    const pooled = sizeClass.free.pop();
    if (pooled !== undefined) this.#freeBytes -= min * pageBytes;
    return { memory: pooled ?? createMemory(min, max), maxBytes: max * pageBytes, source: "WebAssembly.Memory.grow" };
  }

  /** Takes a memory back after a run that ended by itself; every byte of it is zeroed before anybody sees it again. */
  give({ memory, maxBytes }: Lease): void {
    const pages = memory.buffer.byteLength / pageBytes;
    const sizeClass = this.#classes.get(classKey(pages, maxBytes / pageBytes));
    if (sizeClass === undefined || pages > maxPooledPages || this.#freeBytes + pages * pageBytes > this.#maxFreeBytes) return;
    new Uint8Array(memory.buffer).fill(0);
    sizeClass.free.push(memory);
    this.#freeBytes += pages * pageBytes;
  }

  #classOf(min: number, max: number): SizeClass {
    const key = classKey(min, max);
    const known = this.#classes.get(key);
    if (known !== undefined) return known;
    assertBounded(min, max);
    const sizeClass = { min, max, free: [] };
    this.#classes.set(key, sizeClass);
    return sizeClass;
  }
}

/** Whether the limit is what bounds the memory, and not the module's own smaller maximum. */
export function isCapped({ max }: Bounds, limitBytes: number): boolean {
  return max === undefined || max * pageBytes > limitBytes;
}

function classKey(min: number, max: number): number {
  return min * 65_537 + max;
}

function createMemory(min: number, max: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: min, maximum: max });
  } catch (error) {
    throw new ToolRuntimeError(
      "ERR_BACKEND_FAILED",
      `Cannot map ${min * pageBytes} bytes of memory on backend "wasm": the engine has no room; send the task again later`,
      { cause: error },
    );
  }
}

/** Tries on a memory of the same size class that the engine refuses one page more than the cap. */
function assertBounded(min: number, max: number): void {
  const memory = createMemory(min, max);
  try {
    memory.grow(max - min + 1);
  } catch (error) {
    if (error instanceof RangeError) return;
    throw error;
  }
  throw new Error(`the engine grew a memory of at most ${max} pages beyond them`);
}
