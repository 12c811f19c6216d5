import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { channelFd } from "../../../src/wasm/process/protocol.ts";

/** A child that is none: it says what no child says, and stays. */
writeSync(2, "told to be junk\n");
const socket = new Socket({ fd: channelFd });
socket.on("error", () => undefined);
socket.write(Buffer.alloc(100_000, "junk"));
setInterval(() => undefined, 1000);
