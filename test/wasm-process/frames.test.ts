import { once } from "node:events";
import { createServer, connect, type Socket } from "node:net";
import * as fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { Channel } from "../../src/wasm/process/channel.ts";
import { childBounds, serviceBounds } from "../../src/wasm/process/protocol.ts";
import { encodeFrame, FrameDecoder, frameKinds, ProtocolError, type Frame, type FrameKind } from "../../src/wasm/wire/frames.ts";
import { GuestIo } from "../../src/wasm/wire/guest-io.ts";
import { outputWindow, type PlanFacts } from "../../src/wasm/wire/messages.ts";
import { until } from "./support.ts";

const wide = { json: 2 ** 20, payload: 2 ** 20 };

function decodeAll(decoder: FrameDecoder): Frame[] {
  const frames: Frame[] = [];
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame);
  return frames;
}

function problemOf(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

const frame = fc.record({
  kind: fc.constantFrom<FrameKind>(...Object.values(frameKinds)),
  run: fc.nat(0xffff_ffff),
  json: fc.option(fc.dictionary(fc.string(), fc.string(), { maxKeys: 3, noNullPrototype: true }), { nil: undefined }),
  payload: fc.oneof(fc.uint8Array({ maxLength: 50 }), fc.uint8Array({ minLength: 16_380, maxLength: 16_390 })),
});

describe("frames", () => {
  it("come out as they went in, in whatever pieces they arrive", () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 20 }),
        (sent, sizes) => {
          const bytes = Buffer.concat(
            sent.flatMap(({ kind, run, json, payload }) => encodeFrame(kind, run, { payload, ...(json === undefined ? {} : { json }) })),
          );
          const decoder = new FrameDecoder(() => wide);
          const received: Frame[] = [];
          for (let at = 0, piece = 0; at < bytes.length; piece++) {
            const size = sizes[piece % sizes.length] ?? 1;
            decoder.push(bytes.subarray(at, (at += size)));
            received.push(...decodeAll(decoder));
          }
          expect(received.map(({ kind, run, json, payload }) => [kind, run, json, Buffer.from(payload).toString("hex")])).toEqual(
            sent.map(({ kind, run, json, payload }) => [
              kind,
              run,
              json === undefined ? "" : JSON.stringify(json),
              Buffer.from(payload).toString("hex"),
            ]),
          );
        },
      ),
      { numRuns: 100 },
    );
  });

  it("are refused by what their heads say, before anything of them has arrived", () => {
    const headOf = (kind: number, json: number, payload: number): FrameDecoder => {
      const bytes = Buffer.alloc(13);
      bytes.writeUInt8(kind, 0);
      bytes.writeUInt32LE(json, 5);
      bytes.writeUInt32LE(payload, 9);
      const decoder = new FrameDecoder((one) => childBounds(one, 1000));
      decoder.push(bytes);
      return decoder;
    };
    for (const kind of [0, 255, frameKinds.bind, frameKinds.run]) expect(() => headOf(kind, 0, 0).next()).toThrow(ProtocolError);
    expect(() => headOf(frameKinds.stdout, 0, 32 * 1024 + 1).next()).toThrow(ProtocolError);
    expect(headOf(frameKinds.stdout, 0, 32 * 1024).next()).toBeUndefined();
    expect(() => headOf(frameKinds.stdout, 1, 1).next()).toThrow(ProtocolError);
    expect(() => headOf(frameKinds.file, 10, 1001).next()).toThrow(ProtocolError);
    expect(headOf(frameKinds.file, 10, 1000).next()).toBeUndefined();
    expect(() => headOf(frameKinds.done, 2 ** 32 - 1, 0).next()).toThrow(ProtocolError);
  });

  it("of random bytes are refused or wait for more, and never anything else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const decoder = new FrameDecoder((kind) => childBounds(kind, 1000));
        decoder.push(bytes);
        const problem = problemOf(() => decodeAll(decoder));
        expect(problem === undefined || problem instanceof ProtocolError).toBe(true);
      }),
    );
  });
});

async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const client = connect({ port: typeof address === "object" ? (address?.port ?? 0) : 0, host: "127.0.0.1" });
  const [accepted] = (await once(server, "connection")) as [Socket];
  onTestFinished(() => {
    client.destroy();
    accepted.destroy();
    server.close();
  });
  return [client, accepted];
}

describe("the output of a child", () => {
  const message = { plan: {} as PlanFacts, id: "ex_1", stdinBytes: 0, files: [], env: {}, maxOutputFiles: 0 };
  const runFrame: Frame = { kind: frameKinds.run, run: 1, json: "", payload: new Uint8Array(0) };
  const guestIo = (client: Socket): GuestIo => {
    const channel = new Channel(client, serviceBounds);
    return new GuestIo((kind, parts) => void channel.send(kind, 1, parts), runFrame, message);
  };

  it("may be ahead of its reader by the window, and waits from there on", async () => {
    const [client, service] = await socketPair();
    const io = guestIo(client);
    const received: number[] = [];
    void new Channel(service, (kind) => childBounds(kind, 0))
      .read(({ payload }) => void received.push(payload.length))
      .catch(() => undefined);
    let written = 0;
    let waiting: void | Promise<void>;
    do {
      waiting = io.stdout(new Uint8Array(1000));
      written += 1000;
    } while (waiting === undefined);
    expect(written).toBeGreaterThanOrEqual(outputWindow.bytes);
    expect(written).toBeLessThan(outputWindow.bytes + 1000);
    let isSettled = false;
    void waiting.then(() => (isSettled = true));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect([isSettled, received.reduce((sum, length) => sum + length, 0)]).toEqual([false, written]);
    io.acked({ bytes: 16_000, frames: 16 });
    await waiting;
    expect(io.stdout(new Uint8Array(1000))).toBeUndefined();
  });

  it("in many small writes waits too, and stays in order where one is large and nobody waits", async () => {
    const [client, service] = await socketPair();
    const io = guestIo(client);
    const received: Uint8Array[] = [];
    void new Channel(service, (kind) => childBounds(kind, 0)).read(({ payload }) => void received.push(payload)).catch(() => undefined);
    let writes = 1;
    while (io.stdout(Uint8Array.of(1)) === undefined) writes++;
    expect(writes).toBe(outputWindow.frames);
    const waiting = [io.stdout(new Uint8Array(100_000).fill(2)), io.stderr(Uint8Array.of(3)), io.stdout(Uint8Array.of(4))];
    io.acked({ bytes: writes + 100_002, frames: writes + 6 });
    await Promise.all(waiting);
    await until("all has arrived", () => received.reduce((sum, { length }) => sum + length, 0) === writes + 100_002);
    expect(received.slice(writes).map((payload) => [payload[0], payload.length])).toEqual([
      [2, 32_768], [2, 32_768], [2, 32_768], [2, 1696], [3, 1], [4, 1],
    ]); // prettier-ignore
  });

  it("that waits goes no further when the run is ended", async () => {
    const [client] = await socketPair();
    const io = guestIo(client);
    const waiting = io.stdout(new Uint8Array(200_000));
    io.end(new Error("over"));
    await expect(waiting).rejects.toThrow("over");
    expect(() => io.stdout(Uint8Array.of(1))).toThrow("over");
  });
});
