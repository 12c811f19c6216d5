/** Keeps executions in the folder that it is given, and goes on writing until it is killed. */
import { writeSync } from "node:fs";
import { openSqliteExecutions } from "../../../src/adapters/executor/store/sqlite-executions.ts";
import type { Claim } from "../../../src/store.ts";
import { info, outcome, tool } from "../../edge/store-suite.ts";

const [folder = ""] = process.argv.slice(2);
const store = openSqliteExecutions({ folder });

async function claim(id: string): Promise<Claim & { readonly kind: "first" }> {
  const made = await store.claim({ tenant: "red", key: `key-${id}`, fingerprint: "f", executionId: id });
  if (made.kind !== "first") throw new Error(`the key of ${id} is ${made.kind}`);
  return made;
}

function note(id: string, event: "accepted" | "started" | "ended"): void {
  store.audit.open({ executionId: id, tenant: "red", principal: "alice", tool })({ event, profile: "hardened" });
}

async function start(id: string): Promise<void> {
  await store.create(info(id));
  note(id, "accepted");
  await store.starting?.(id);
  await store.started(id);
  note(id, "started");
}

const ended = await claim("ended");
await start("ended");
await store.addEvent("ended", { seq: 1, json: '{"type":"started"}' });
note("ended", "ended");
await store.end("ended", { ...outcome('{"kept":"whole"}'), seq: 2 });
await ended.keep({ ...outcome('{"kept":"whole"}'), seq: 2 });
await store.grantBlob("red", "sha256:1");

await claim("unsettled");
await start("unsettled");
note("unsettled", "ended");
await store.end("unsettled", outcome('{"kept":"by its run"}'));

await claim("unborn");

await claim("accepted");
await store.create(info("accepted"));
note("accepted", "accepted");
// As whoever answers 202 does.
await store.get("red", "accepted");

await claim("starting");
await store.create(info("starting"));
note("starting", "accepted");
await store.starting?.("starting");

await claim("running");
await start("running");
for (let seq = 1; ; seq++) {
  await store.addEvent("running", { seq, json: JSON.stringify({ type: "stdout", seq, text: "x".repeat(seq % 4000) }) });
  // What others are told of is what is kept.
  if (seq % 50 === 0 && (await store.get("red", "running"))?.status === "running") writeSync(1, `${seq}\n`);
}
