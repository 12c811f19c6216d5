import type { IsolateFacts } from "../../../src/wasm/loader/isolate.ts";
import { encodeFrame, frameKinds, type FrameKind } from "../../../src/wasm/wire/frames.ts";

/**
 * An isolate whose sandbox was broken: it attacks the service at the other end of the channel, in the way that the tool's name
 * says. Its name and its parameters are those of the real one.
 */
export function isolate({ tool }: IsolateFacts): { fetch(request: Request): Promise<Response> } {
  if (tool === "throws-at-load") throw new Error("not to be loaded");
  return {
    async fetch(request) {
      const reach = tool === "explorer" ? await explore() : "";
      if (tool === "throws") throw new Error("not today");
      if (tool === "hangs") return new Promise(() => undefined);
      if (tool === "status") return new Response("no", { status: 503 });
      if (tool === "no-body") return new Response(null);
      return new Response(new Attack(tool, reach, request).stream);
    },
  };
}

/** What a guest would try that broke out of the engine into the isolate's JavaScript. */
async function explore(): Promise<string> {
  const found: Record<string, unknown> = {};
  const attempt = async (name: string, work: () => unknown): Promise<void> => {
    try {
      found[name] = String(await work());
    } catch (error) {
      found[name] = `refused: ${error instanceof Error ? error.message : String(error)}`;
    }
  };
  await attempt("fetch", () => fetch("http://127.0.0.1:1/"));
  await attempt("websocket", () => fetch("http://127.0.0.1:1/", { headers: { Upgrade: "websocket" } }));
  // The names stand apart from the calls: no bundler resolves them, and TypeScript knows no platform's modules.
  const [sockets, workers]: readonly string[] = ["cloudflare:sockets", "cloudflare:workers"];
  await attempt("connect", async () => (await import(sockets ?? "")).connect("127.0.0.1:1").opened);
  await attempt("env", async () => JSON.stringify((await import(workers ?? "")).env));
  await attempt("eval", () => new Function("return 1")());
  await attempt("compile", () => new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)));
  return JSON.stringify(found);
}

const run = 1;
const exited = { kind: "exited", code: 0 } as const;
const done = { exit: exited, readings: [] };
const encoder = new TextEncoder();

function head(kind: number, jsonBytes: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(13);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, kind);
  view.setUint32(1, run, true);
  view.setUint32(5, jsonBytes, true);
  view.setUint32(9, payloadBytes, true);
  return bytes;
}

class Attack {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #reach: string;
  readonly #request: Request;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(name: string, reach: string, request: Request) {
    this.#reach = reach;
    this.#request = request;
    this.stream = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
        this.#attacks[name]?.();
      },
      pull: () => this.#pulls[name]?.(),
    });
  }

  #send(kind: FrameKind, parts: { readonly json?: object; readonly payload?: Uint8Array } = {}, of = run): void {
    for (const piece of encodeFrame(kind, of, parts)) this.#controller?.enqueue(piece);
  }

  #raw(kind: number, json: string): void {
    const text = encoder.encode(json);
    this.#controller?.enqueue(head(kind, text.length, 0));
    this.#controller?.enqueue(text);
  }

  #begin(): void {
    this.#send(frameKinds.started);
  }

  #report(): void {
    this.#send(frameKinds.done, { json: done });
  }

  /** The platform ends what waits for nothing. */
  #stay(): void {
    setInterval(() => undefined, 20);
  }

  #fail(message: string): void {
    setTimeout(() => this.#controller?.error(new Error(message)), 20);
  }

  /** What goes on for as long as somebody reads. */
  readonly #pulls: Readonly<Record<string, () => void>> = {
    "endless-output": () => this.#send(frameKinds.stdout, { payload: new Uint8Array(1000).fill(120) }),
    "empty-output": () => this.#send(frameKinds.stdout),
  };

  readonly #attacks: Readonly<Record<string, () => void>> = {
    honest: () => {
      this.#begin();
      this.#send(frameKinds.stdout, { payload: encoder.encode("well") });
      this.#report();
    },
    explorer: () => {
      this.#begin();
      this.#send(frameKinds.stdout, { payload: encoder.encode(this.#reach) });
      this.#report();
    },
    junk: () => this.#controller?.enqueue(new Uint8Array(5000).fill(0xfe)),
    "oversize-output": () => {
      this.#begin();
      this.#controller?.enqueue(head(frameKinds.stdout, 0, 2 ** 31));
    },
    "oversize-file": () => {
      this.#begin();
      this.#controller?.enqueue(head(frameKinds.file, 10, 2 ** 32 - 1));
    },
    "oversize-json": () => this.#controller?.enqueue(head(frameKinds.done, 2 ** 32 - 1, 0)),
    "half-frame": () => {
      this.#stay();
      this.#begin();
      this.#controller?.enqueue(head(frameKinds.file, 20, 1000));
    },
    "half-frame-and-end": () => {
      this.#begin();
      this.#controller?.enqueue(head(frameKinds.file, 20, 1000));
      this.#controller?.close();
    },
    "endless-output": () => this.#begin(),
    "empty-output": () => this.#begin(),
    "output-first": () => this.#send(frameKinds.stdout, { payload: encoder.encode("early") }),
    "starts-twice": () => {
      this.#begin();
      this.#begin();
    },
    "never-starts": () => this.#stay(),
    "never-ends": () => {
      this.#stay();
      this.#begin();
    },
    "other-run": () => {
      this.#send(frameKinds.started, {}, run + 1);
      this.#send(frameKinds.done, { json: done }, run + 1);
    },
    "goes-on": () => {
      this.#attacks["honest"]?.();
      this.#send(frameKinds.stdout, { payload: encoder.encode("more") });
    },
    "ends-at-once": () => this.#controller?.close(),
    "ends-without-report": () => {
      this.#begin();
      this.#controller?.close();
    },
    "commands-the-service": () => this.#controller?.enqueue(head(frameKinds.run, 0, 0)),
    "leads-elsewhere": () => {
      this.#begin();
      this.#send(frameKinds.file, { json: { path: "../../etc/cron.d/x" }, payload: encoder.encode("x") });
      this.#report();
    },
    "too-many-files": () => {
      this.#begin();
      for (let index = 0; index < 5000; index++) this.#send(frameKinds.file, { json: { path: `f${index}` }, payload: encoder.encode("x") });
    },
    "no-json": () => {
      this.#begin();
      this.#raw(frameKinds.done, "{");
    },
    "no-utf8": () => {
      this.#begin();
      this.#controller?.enqueue(head(frameKinds.done, 2, 0));
      this.#controller?.enqueue(Uint8Array.of(0xff, 0xfe));
    },
    "strange-report": () => {
      this.#begin();
      this.#send(frameKinds.done, { json: { ...done, readings: [{ limit: "everything", applied: 1 }] } });
    },
    "claims-a-signal": () => {
      this.#begin();
      this.#send(frameKinds.done, { json: { ...done, exit: { kind: "signalled", signal: "SIGKILL", number: 9 } } });
    },
    prototype: () => {
      this.#begin();
      this.#raw(
        frameKinds.failed,
        '{"code":"ERR_INTERNAL","message":"m","details":{"__proto__":{"polluted":1}},"__proto__":{"polluted":1}}',
      );
    },
    "unknown-code": () => this.#send(frameKinds.failed, { json: { code: "ERR_WHATEVER", message: "m", details: {} } }),
    // As the platform ends an isolate that has used up its time or its memory.
    "out-of-time": () => {
      this.#begin();
      this.#fail("Worker exceeded CPU time limit.");
    },
    "out-of-memory": () => {
      this.#begin();
      this.#fail("Worker exceeded memory limit.");
    },
    breaks: () => {
      this.#begin();
      this.#fail("not to be read");
    },
    /** Ends when it is told, and says that it was. */
    told: () => {
      this.#begin();
      void this.#whenTold();
    },
  };

  async #whenTold(): Promise<void> {
    const reader = this.#request.body?.getReader();
    const frames: number[] = [];
    for (;;) {
      const { done: isOver = true, value } = (await reader?.read()) ?? {};
      if (isOver || value === undefined) return;
      frames.push(value[0] ?? 0);
      if (frames.includes(frameKinds.end)) break;
    }
    const reading = { limit: "memory", applied: 1, source: "told", peak: frames.length };
    this.#send(frameKinds.done, { json: { exit: exited, readings: [reading] } });
  }
}
