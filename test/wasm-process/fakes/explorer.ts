import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createConnection, Socket } from "node:net";
import { cpus } from "node:os";
import { Worker } from "node:worker_threads";
import { Channel } from "../../../src/wasm/process/channel.ts";
import { ChildHost } from "../../../src/wasm/process/child-host.ts";
import { frameKinds, type Frame } from "../../../src/wasm/wire/frames.ts";
import { channelFd, serviceBounds } from "../../../src/wasm/process/protocol.ts";
import type { RunMessage } from "../../../src/wasm/wire/messages.ts";

/**
 * The real child up to the moment when it has its tool. In the place of the guest runs what a guest would run that broke out of
 * the engine into the child's JavaScript; it answers with what it got at.
 */
const channel = new Channel(new Socket({ fd: channelFd }), serviceBounds);
const host = new ChildHost(channel);

function attempt(work: () => unknown): string {
  try {
    return `got ${JSON.stringify(work())}`;
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}

function connect(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: "127.0.0.1" });
    socket.on("connect", () => resolve("got a connection"));
    socket.on("error", (error) => resolve("code" in error ? String(error.code) : error.message));
  });
}

async function explore({ payload, json, run }: Frame): Promise<void> {
  const { stdinBytes } = JSON.parse(json) as RunMessage;
  const { port, file, pid }: { port: number; file: string; pid: number } = JSON.parse(
    new TextDecoder().decode(payload.subarray(0, stdinBytes)),
  );
  const prototype: unknown = Reflect.get({}, "__proto__");
  const answers = {
    ownCode: attempt(() => readFileSync(import.meta.filename, "utf8").length),
    passwd: attempt(() => readFileSync("/etc/passwd", "utf8").length),
    environ: attempt(() => readFileSync(`/proc/${pid}/environ`, "utf8").length),
    folder: attempt(() => readdirSync("/")),
    write: attempt(() => writeFileSync(file, "x")),
    program: attempt(() => spawnSync("/bin/true").error),
    thread: attempt(() => new Worker("1", { eval: true })),
    addon: attempt(() => process.dlopen({ exports: {} }, "/lib/x86_64-linux-gnu/libc.so.6")),
    service: attempt(() => process.kill(pid, 0)),
    code: attempt(() => new Function("return 1")()),
    network: await connect(port),
    env: { ...process.env },
    folderOfWork: process.cwd(),
    proto: prototype === undefined ? "gone" : "there",
    processors: cpus().length > 0,
  };
  channel.send(frameKinds.started, run);
  channel.send(frameKinds.stdout, run, { payload: Buffer.from(JSON.stringify(answers)) });
  channel.send(frameKinds.done, run, { json: { exit: { kind: "exited", code: 0 }, readings: [], cpuMs: 0 } });
}

channel.send(frameKinds.ready, 0, { json: {} });
await channel.read((frame) => (frame.kind === frameKinds.run ? explore(frame) : host.take(frame)));
process.exit();
