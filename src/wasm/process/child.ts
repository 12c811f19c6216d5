import { Socket } from "node:net";
import { frameKinds } from "../wire/frames.ts";
import { Channel } from "./channel.ts";
import { ChildHost } from "./child-host.ts";
import { channelFd, serviceBounds } from "./protocol.ts";

/** The program of a child process. It ends when the service closes the channel, or is gone. */
const channel = new Channel(new Socket({ fd: channelFd, readable: true, writable: true }), serviceBounds);
const host = new ChildHost(channel);
channel.send(frameKinds.ready, 0, { json: { version: process.version } });
await channel.read((frame) => host.take(frame)).catch(() => undefined);
process.exit();
