import type { DurableObjectNamespace, DurableObjectState } from "../../src/edge/cloudflare/bindings.ts";
import { ExecutionObject } from "../../src/edge/cloudflare/execution-object.ts";

/** The object with the options that the first who asks sends along. */
export class Executions {
  readonly #state: DurableObjectState;
  #inner: ExecutionObject | undefined;

  constructor(state: DurableObjectState) {
    this.#state = state;
  }

  fetch(request: Request): Promise<Response> {
    this.#inner ??= new ExecutionObject(this.#state, {}, JSON.parse(request.headers.get("x-options") ?? "{}"));
    return this.#inner.fetch(request);
  }

  async alarm(): Promise<void> {
    await this.#inner?.alarm();
  }
}

/** Hands each request to the object that it names. */
export default {
  async fetch(request: Request, { EXECUTIONS: objects }: { readonly EXECUTIONS: DurableObjectNamespace }): Promise<Response> {
    const object = objects.get(objects.idFromName(request.headers.get("x-object") ?? ""));
    const { method, headers, signal } = request;
    return object.fetch(request.url, { method, headers, signal, body: await request.text() });
  },
};
