import { ToolRuntimeError } from "../errors.ts";
import type { Registry } from "../registry.ts";
import type { Tool, ToolRef } from "../tool.ts";

export interface ReceivedToolsOptions {
  /** The service's own tools. They go first, and alone are found by name or version. */
  readonly own: Registry;
  /** The most tools that are kept besides; then what was used longest ago goes. */
  readonly maxTools: number;
  /** The most for their artifacts together, in bytes. */
  readonly maxBytes: number;
}

/** A registry with tools besides that callers have sent. */
export interface ReceivedTools extends Registry {
  readonly maxBytes: number;
  /** Keeps a tool whose digests were computed here. @throws `ERR_ARTIFACT_TOO_LARGE`. */
  receive(tool: Tool, artifactBytes: number): void;
  /**
   * Takes one of the few places for tools that are on their way in: each is in memory whole. Gives what leaves it.
   *
   * @throws `ERR_QUEUE_FULL`.
   */
  enter(): () => void;
}

const maxOnTheWay = 2;

/**
 * Joins a registry with tools that callers send. Those are found by their digest alone: nobody may put another tool in the place of
 * one that the service has.
 */
export function receivedTools(options: ReceivedToolsOptions): ReceivedTools {
  return new JoinedTools(options);
}

class JoinedTools implements ReceivedTools {
  readonly maxBytes: number;
  readonly #own: Registry;
  readonly #maxTools: number;
  /** By digest, in the order of their last use. */
  readonly #received = new Map<string, { readonly tool: Tool; readonly bytes: number }>();
  #bytes = 0;
  #onTheWay = 0;

  constructor({ own, maxTools, maxBytes }: ReceivedToolsOptions) {
    this.#own = own;
    this.#maxTools = maxTools;
    this.maxBytes = maxBytes;
  }

  get(ref: ToolRef): Tool | undefined {
    const own = this.#own.get(ref);
    if (own !== undefined || ref.digest === undefined) return own;
    const found = this.#received.get(ref.digest);
    if (found?.tool.manifest.name !== ref.name) return undefined;
    this.#received.delete(ref.digest);
    this.#received.set(ref.digest, found);
    return found.tool;
  }

  list(): readonly Tool[] {
    const received = [...this.#received.values()].map(({ tool }) => tool);
    // A stable sort: of one name those of the service stand first.
    return received.length === 0 ? this.#own.list() : [...this.#own.list(), ...received].toSorted((a, b) => compare(a, b));
  }

  /** Says besides that the tool can be sent. */
  missing(ref: ToolRef): ToolRuntimeError {
    const error = this.#own.missing(ref);
    if (ref.digest === undefined) return error;
    return new ToolRuntimeError(error.code, error.message, { details: { ...error.details, acceptsTools: true }, cause: error });
  }

  receive(tool: Tool, artifactBytes: number): void {
    if (artifactBytes > this.maxBytes) {
      throw new ToolRuntimeError(
        "ERR_ARTIFACT_TOO_LARGE",
        `Cannot take the tool "${tool.manifest.name}": its artifacts are ${artifactBytes} bytes, the most is ${this.maxBytes}`,
        { details: { size: artifactBytes, maxBytes: this.maxBytes } },
      );
    }
    this.#drop(tool.digest);
    this.#received.set(tool.digest, { tool, bytes: artifactBytes });
    this.#bytes += artifactBytes;
    for (const digest of this.#received.keys()) {
      if (this.#received.size <= this.#maxTools && this.#bytes <= this.maxBytes) break;
      this.#drop(digest);
    }
  }

  #drop(digest: string): void {
    this.#bytes -= this.#received.get(digest)?.bytes ?? 0;
    this.#received.delete(digest);
  }

  enter(): () => void {
    if (this.#onTheWay >= maxOnTheWay) {
      throw new ToolRuntimeError("ERR_QUEUE_FULL", `Cannot take the tool: ${maxOnTheWay} others are on their way in; send it again later`);
    }
    this.#onTheWay++;
    let isIn = true;
    return () => {
      if (isIn) this.#onTheWay--;
      isIn = false;
    };
  }
}

function compare({ manifest: { name: a } }: Tool, { manifest: { name: b } }: Tool): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
