import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { Channel } from "../../../src/wasm/process/channel.ts";
import { frameKinds, type Frame } from "../../../src/wasm/wire/frames.ts";
import { channelFd, serviceBounds, type BindMessage } from "../../../src/wasm/process/protocol.ts";

/**
 * A child whose sandbox was broken: it takes a tool like any other, and when it is to run that it attacks the service at the
 * other end of the channel, in the way that the tool's name says.
 */
const socket = new Socket({ fd: channelFd });
const channel = new Channel(socket, serviceBounds);
let attack = "";
// Stays when the service is gone, or has closed the channel.
setInterval(() => undefined, 1000);

function head(kind: number, run: number, jsonBytes: number, payloadBytes: number): Buffer {
  const bytes = Buffer.alloc(13);
  bytes.writeUInt8(kind, 0);
  bytes.writeUInt32LE(run, 1);
  bytes.writeUInt32LE(jsonBytes, 5);
  bytes.writeUInt32LE(payloadBytes, 9);
  return bytes;
}

function raw(kind: number, run: number, json: string): void {
  const text = Buffer.from(json);
  socket.write(Buffer.concat([head(kind, run, text.length, 0), text]));
}

const exited = { kind: "exited", code: 0 } as const;
const done = { exit: exited, readings: [], cpuMs: 1 };

async function flood(write: () => boolean): Promise<void> {
  for (;;) if (!write()) await channel.drained();
}

const attacks: Record<string, (run: number) => unknown> = {
  honest: (run) => {
    channel.send(frameKinds.started, run);
    channel.send(frameKinds.stdout, run, { payload: Buffer.from("well") });
    channel.send(frameKinds.done, run, { json: done });
  },
  junk: () => socket.write(Buffer.alloc(5000, 0xfe)),
  "oversize-output": (run) => {
    channel.send(frameKinds.started, run);
    socket.write(head(frameKinds.stdout, run, 0, 2 ** 31));
  },
  "oversize-file": (run) => {
    channel.send(frameKinds.started, run);
    socket.write(head(frameKinds.file, run, 10, 2 ** 32 - 1));
  },
  "oversize-json": (run) => socket.write(head(frameKinds.done, run, 2 ** 32 - 1, 0)),
  "half-frame": (run) => {
    channel.send(frameKinds.started, run);
    socket.write(head(frameKinds.file, run, 20, 1000));
  },
  "endless-output": (run) => {
    channel.send(frameKinds.started, run);
    return flood(() => channel.send(frameKinds.stdout, run, { payload: Buffer.alloc(1000, "x") }));
  },
  "empty-output": (run) => {
    channel.send(frameKinds.started, run);
    return flood(() => channel.send(frameKinds.stdout, run, {}));
  },
  "output-first": (run) => channel.send(frameKinds.stdout, run, { payload: Buffer.from("early") }),
  "starts-twice": (run) => {
    channel.send(frameKinds.started, run);
    channel.send(frameKinds.started, run);
  },
  "never-starts": () => undefined,
  "never-ends": (run) => channel.send(frameKinds.started, run),
  "other-run": (run) => {
    channel.send(frameKinds.started, run + 1);
    channel.send(frameKinds.done, run + 1, { json: done });
  },
  "goes-on": (run) => {
    attacks["honest"]?.(run);
    channel.send(frameKinds.stdout, run, { payload: Buffer.from("more") });
  },
  "commands-the-service": (run) => socket.write(head(frameKinds.run, run, 0, 0)),
  "leads-elsewhere": (run) => {
    channel.send(frameKinds.started, run);
    channel.send(frameKinds.file, run, { json: { path: "../../etc/cron.d/x" }, payload: Buffer.from("x") });
    channel.send(frameKinds.done, run, { json: done });
  },
  "too-many-files": (run) => {
    channel.send(frameKinds.started, run);
    for (let i = 0; i < 5000; i++) channel.send(frameKinds.file, run, { json: { path: `f${i}` }, payload: Buffer.from("x") });
  },
  "no-json": (run) => {
    channel.send(frameKinds.started, run);
    raw(frameKinds.done, run, "{");
  },
  "no-utf8": (run) => {
    channel.send(frameKinds.started, run);
    socket.write(Buffer.concat([head(frameKinds.done, run, 2, 0), Buffer.from([0xff, 0xfe])]));
  },
  "strange-report": (run) => {
    channel.send(frameKinds.started, run);
    channel.send(frameKinds.done, run, { json: { ...done, readings: [{ limit: "everything", applied: 1 }] } });
  },
  "huge-number": (run) => {
    channel.send(frameKinds.started, run);
    raw(frameKinds.done, run, '{"exit":{"kind":"exited","code":0},"cpuMs":1,"readings":[{"limit":"memory","peak":1e999}]}');
  },
  "claims-a-signal": (run) => {
    channel.send(frameKinds.started, run);
    channel.send(frameKinds.done, run, { json: { ...done, exit: { kind: "signalled", signal: "SIGKILL", number: 9 } } });
  },
  prototype: (run) => {
    channel.send(frameKinds.started, run);
    raw(frameKinds.failed, run, '{"code":"ERR_INTERNAL","message":"m","details":{"__proto__":{"polluted":1}},"__proto__":{"polluted":1}}');
  },
  "unknown-code": (run) => channel.send(frameKinds.failed, run, { json: { code: "ERR_WHATEVER", message: "m", details: {} } }),
  "floods-stderr": async () => {
    for (;;) {
      writeSync(2, "x".repeat(4096));
      await new Promise((resolve) => setImmediate(resolve));
    }
  },
  "closes-the-channel": (run) => {
    channel.send(frameKinds.started, run);
    socket.destroy();
  },
};

function take({ kind, json, run }: Frame): void | Promise<void> {
  if (kind === frameKinds.bind) {
    attack = (JSON.parse(json) as BindMessage).tool;
    // Reads nothing more: what the service sends has to wait on its side.
    if (attack === "deaf") return channel.send(frameKinds.bound, run) ? new Promise(() => undefined) : undefined;
    if (attack === "never-bound") return;
    if (attack === "done-for-bound") attacks["honest"]?.(run);
    else channel.send(frameKinds.bound, run);
  }
  if (kind === frameKinds.run) void attacks[attack]?.(run);
}

channel.send(frameKinds.ready, 0, { json: {} });
await channel.read(take).catch(() => undefined);
