/** How long one who joins waits for the answer to another's question before he puts it himself, in ms. */
const patienceMs = 3000;

/**
 * A question that is put once for all who have it at the same time. Platforms drop what a request began once its caller has gone,
 * so an answer may never come: whoever has joined then asks for himself.
 */
export class JointQuestion<T> {
  readonly #put: () => Promise<T>;
  #open: { readonly answer: Promise<T>; readonly since: number } | undefined;

  constructor(put: () => Promise<T>) {
    this.#put = put;
  }

  /** @throws what the question throws. */
  ask(): Promise<T> {
    const open = this.#open;
    if (open === undefined) return this.#begin();
    const leftMs = open.since + patienceMs - performance.now();
    return leftMs > 0 ? this.#join(open.answer, leftMs) : this.#begin();
  }

  #begin(): Promise<T> {
    const open = { answer: this.#put(), since: performance.now() };
    this.#open = open;
    const close = (): void => {
      if (this.#open === open) this.#open = undefined;
    };
    open.answer.then(close, close);
    return open.answer;
  }

  async #join(answer: Promise<T>, leftMs: number): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), leftMs);
    });
    const first = await Promise.race([answer.then((value) => ({ value })), late]);
    clearTimeout(timer);
    return first === undefined ? this.ask() : first.value;
  }
}
