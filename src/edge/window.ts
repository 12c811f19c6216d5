import { ToolRuntimeError } from "../errors.ts";
import { wireHeaders } from "../internal/wire-names.ts";
import type { Settings } from "./options.ts";
import { replyJson } from "./reply.ts";
import type { Runner } from "./runner.ts";
import { identify, type AppContext } from "./scope.ts";

const leastBytes = 64 * 1024;
const mostBytes = 2 ** 30;

/**
 * How much of a tool's output may be under way to its reader. The buffers of a connection take megabytes before they hold
 * anybody back; a reader that acknowledges what it took bounds them.
 */
export class Window {
  readonly #bytes: number;
  readonly #stalledMs: number;
  readonly #onStalled: () => void;
  #sent = 0;
  #acknowledged = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #stalled: ReturnType<typeof setTimeout> | undefined;

  constructor(options: { readonly bytes: number; readonly stalledMs: number; readonly onStalled: () => void }) {
    this.#bytes = options.bytes;
    this.#stalledMs = options.stalledMs;
    this.#onStalled = options.onStalled;
  }

  /** Counts what is sent. Settles when there is room for more. */
  send(bytes: number): Promise<void> | void {
    this.#sent += bytes;
    if (this.#hasRoom) return;
    this.#stalled ??= setTimeout(this.#onStalled, this.#stalledMs);
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  get #hasRoom(): boolean {
    return this.#sent - this.#acknowledged <= this.#bytes;
  }

  /** The reader has taken so many bytes since the start. What was said before, or was never sent, changes nothing. */
  acknowledge(total: number): void {
    if (total <= this.#acknowledged) return;
    this.#acknowledged = Math.min(total, this.#sent);
    clearTimeout(this.#stalled);
    this.#stalled = undefined;
    if (this.#hasRoom) this.close();
    else this.#stalled = setTimeout(this.#onStalled, this.#stalledMs);
  }

  /** Nobody waits for room any more. */
  close(): void {
    clearTimeout(this.#stalled);
    this.#stalled = undefined;
    this.#room?.resolve();
    this.#room = undefined;
  }
}

/** The window that a reader asks for. @throws `ERR_ARGUMENT_INVALID`. */
export function windowBytesOf(c: AppContext): number | undefined {
  const header = c.req.header(wireHeaders.window);
  if (header === undefined) return undefined;
  const bytes = /^\d{1,10}$/.test(header) ? Number(header) : 0;
  if (bytes >= leastBytes && bytes <= mostBytes) return bytes;
  throw new ToolRuntimeError(
    "ERR_ARGUMENT_INVALID",
    `Cannot read the header "${wireHeaders.window}": it takes whole bytes, ${leastBytes} to ${mostBytes}`,
    { details: { header: wireHeaders.window } },
  );
}

/** `POST /v1/executions/{id}/ack`: so many bytes of output have been taken since the start. */
export function acknowledge(runner: Runner, settings: Settings): (c: AppContext) => Promise<Response> {
  return async (c) => {
    const { tenant } = await identify(c, settings, "run");
    const { bytes } = await (await import("./small-bodies.ts")).readAck(c, settings);
    const id = c.req.param("id") ?? "";
    const run = runner.find(tenant, id);
    // Of a run that has ended nothing is held back any more.
    run?.window?.acknowledge(bytes);
    return replyJson(c.get("scope").requestId, 200, JSON.stringify({ id, live: run !== undefined }));
  };
}
