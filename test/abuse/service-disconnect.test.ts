import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expectHealthy, openService, openSocket, until, type Opened } from "../edge/support.ts";

const canary = "canary-d15c";
const everywhere = ["/sys/fs/cgroup"];

/** Processes of this machine whose command line holds a text. */
function processesWith(text: string): number {
  let count = 0;
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (readFileSync(`/proc/${entry}/cmdline`, "utf8").includes(text)) count++;
    } catch {
      // It ended while we looked.
    }
  }
  return count;
}

/** Control groups that runs of this process have made. */
function groups(): number {
  const own = `toolruntime-${process.pid}-`;
  return everywhere.flatMap((root) => {
    try {
      return readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
        (path) => path.includes(own) && path.split("/").at(-1)?.startsWith(own) === true,
      );
    } catch {
      return [];
    }
  }).length;
}

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Executions that run or wait, as the service counts them. */
async function inflight({ get }: Opened): Promise<number> {
  return Number(/^toolruntime_inflight (\d+)$/m.exec(await (await get("/metrics")).text())?.[1]);
}

/** A number that no other process has in its command line. */
const mark = `3${String(process.pid).padStart(7, "0")}`;

describe("F8: clients that disconnect in mid-run", () => {
  it.each([
    ["a thousand that wait for the answer", "*/*", 1000, `sleep ${mark} & echo begun; sleep ${mark}`],
    ["two hundred that read the stream", "application/x-ndjson", 200, `sleep ${mark} & echo begun; sleep ${mark}`],
    [
      "fifty whose tool ignores SIGTERM",
      "*/*",
      50,
      `(trap '' TERM; sleep ${mark}) & trap '' TERM; echo begun; sleep ${mark}; sleep ${mark}`,
    ],
  ])("F8 %s: every run is killed and nothing is left", { timeout: 300_000 }, async (_, accept, total, script) => {
    const opened = await openService({ concurrency: { running: 50, queued: 50 } }, { sleeper: script });
    const before = { descriptors: descriptors(), groups: groups() };
    const body = JSON.stringify({ tool: "sleeper" });
    const request = `POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nAccept: ${accept}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const batch = 50;
    for (let done = 0; done < total; done += batch) {
      const sockets = await Promise.all(Array.from({ length: batch }, () => openSocket(opened.port)));
      for (const socket of sockets) {
        socket.on("error", () => undefined);
        socket.write(request);
      }
      // In mid-run: most have started, the others are starting. Each has at least its shell and a sleeper.
      await until(() => processesWith(mark) >= batch * 2, 60_000, `most of batch ${done / batch} have started`);
      for (const [index, socket] of sockets.entries()) {
        if (index % 2 === 0) socket.destroy();
        else socket.resetAndDestroy();
      }
      await until(async () => (await inflight(opened)) === 0, 30_000, `batch ${done / batch} has ended`);
    }
    await until(() => processesWith(mark) === 0, 2000, "no process is left");
    await until(() => groups() <= before.groups, 2000, "no control group is left");
    await until(() => descriptors() <= before.descriptors + 4, 2000, "no descriptor is left");
    const ended = opened.audit().filter((line) => line.includes('"event":"ended"'));
    expect(ended).toHaveLength(total);
    for (const line of ended) expect(line).toContain('"outcome":"ERR_ABORTED"');
    expect(opened.log.join("")).not.toContain("internal error");
    await expectHealthy(opened, canary);
  });
});
