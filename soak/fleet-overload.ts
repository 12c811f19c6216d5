import { anyone, createApp } from "../src/edge/index.ts";
import { createRegistry, createRuntime, memoryBlobStore, memoryExecutionStore, type Backend } from "../src/index.ts";
import { median } from "../bench/measure.ts";
import { wireHeaders } from "../src/wire.ts";
import { openSoakFleet, pause, type SoakFleet } from "./fleet-nodes.ts";

/** Six places for runs of 0.4 s. */
const runMs = 400;
const places = 2;
const queued = 8;
const calibrationRuns = 15;
const times = 10;

interface Returned {
  readonly cameAgain: number;
  readonly admitted: number;
}

export interface OverloadReport {
  readonly through: "edge" | "nodes";
  /** Runs a second of all places together, by what one run takes while nothing else goes on. */
  readonly capacity: number;
  readonly offered: number;
  readonly seconds: number;
  /** Results a second while the load was on. */
  readonly goodput: number;
  readonly goodputOverCapacity: number;
  readonly requests: number;
  readonly refused: number;
  /** Admitted requests that got no result. */
  readonly lost: number;
  /** By status, code and what was said. */
  readonly losses: Readonly<Record<string, number>>;
  /** Requests with a result whose effect did not happen once, and refused ones whose effect did. */
  readonly wrongEffects: number;
  /** Of those who were refused and came again when they were told to, while the load was on. */
  readonly withTicket: Returned;
  readonly withoutTicket: Returned;
  /** Of both together. */
  readonly admittedShare: number;
}

type Post = (n: number, ticket?: string) => Promise<Response>;

interface Refusal {
  readonly waitMs: number;
  readonly ticket: string | undefined;
}

/** Callers that know the nodes, each of which serves a third of them. */
function openNodes({ nodes }: SoakFleet): Post {
  return (n, ticket) => {
    const node = nodes[n % nodes.length];
    if (node === undefined) throw new Error("There are no nodes");
    return node.post({ tool: "append", input: { n, ms: runMs } }, headersOf(n, ticket));
  };
}

function headersOf(n: number, ticket: string | undefined): Record<string, string> {
  return { "idempotency-key": `caller-${n}`, ...(ticket === undefined ? {} : { [wireHeaders.ticket]: ticket }) };
}

/** An edge with nothing but the fleet behind it, called without a network. */
function openEdge(fleet: SoakFleet, backend: Backend): Post {
  const tools = createRegistry([...fleet.shelf.tools.values()]);
  const blobs = memoryBlobStore();
  const app = createApp({
    runtime: createRuntime({ backend, security: "dev", blobs, tools }),
    tools,
    blobs,
    executions: memoryExecutionStore(),
    authenticate: anyone(),
    hosts: "any",
  });
  return async (n, ticket) => {
    const headers = { "content-type": "application/json", ...headersOf(n, ticket) };
    const body = JSON.stringify({ tool: "append", input: { n, ms: runMs } });
    return app.fetch(new Request("http://edge.example/v1/executions", { method: "POST", headers, body }));
  };
}

class Tally {
  readonly results: number[] = [];
  readonly refusals = new Set<number>();
  readonly losses = new Map<string, number>();
  requests = 0;
  refused = 0;
  inTime = 0;
  readonly withTicket = { cameAgain: 0, admitted: 0 };
  readonly withoutTicket = { cameAgain: 0, admitted: 0 };

  lose(what: string): void {
    this.losses.set(what, (this.losses.get(what) ?? 0) + 1);
  }
}

interface Load {
  readonly post: Post;
  readonly tally: Tally;
  readonly endsAt: number;
}

/** One request. Says for how long the caller is to wait where it is refused. */
async function ask({ post, tally, endsAt }: Load, n: number, ticket?: string): Promise<Refusal | undefined> {
  tally.requests++;
  try {
    const response = await post(n, ticket);
    const body: { code?: string; detail?: string; started?: boolean } = await response.json();
    if (response.status === 429) {
      tally.refused++;
      const waitMs = Number(response.headers.get("retry-after") ?? "1") * 1000;
      return { waitMs, ticket: response.headers.get(wireHeaders.ticket) ?? undefined };
    }
    if (response.status === 200) {
      tally.results.push(n);
      if (performance.now() <= endsAt) tally.inTime++;
    } else tally.lose(`${response.status} ${body.code}, ${body.started === true ? "started" : "not started"}: ${body.detail}`);
  } catch (error) {
    tally.lose(error instanceof Error ? error.name : "unknown");
  }
  return undefined;
}

/** A caller that obeys: it comes again once, at the time that it was told. Every other one shows the ticket that it got. */
async function call(load: Load, n: number): Promise<void> {
  const { tally, endsAt } = load;
  const refusal = await ask(load, n);
  if (refusal === undefined) return;
  if (performance.now() + refusal.waitMs > endsAt) return void tally.refusals.add(n);
  await pause(refusal.waitMs);
  const returns = n % 2 === 0 ? tally.withTicket : tally.withoutTicket;
  returns.cameAgain++;
  if ((await ask(load, n, n % 2 === 0 ? refusal.ticket : undefined)) === undefined) returns.admitted++;
  else tally.refusals.add(n);
}

/** Runs a second of all places, by what one run takes while nothing else goes on. */
async function calibrate(post: Post, nodes: number): Promise<number> {
  const took: number[] = [];
  for (let n = 0; n < calibrationRuns; n++) {
    const startedAt = performance.now();
    const response = await post(n);
    await response.arrayBuffer();
    if (response.status !== 200) throw new Error(`A run before the load was answered with ${response.status}`);
    took.push(performance.now() - startedAt);
  }
  return (nodes * places * 1000) / median(took);
}

/** Three nodes under ten times what they can do, all of it through one edge, or sent to them by turns. */
export async function soakOverload(through: OverloadReport["through"], seconds: number): Promise<OverloadReport> {
  await using fleet = await openSoakFleet({ concurrency: { running: places, queued } });
  const backend = fleet.backend();
  const post = through === "edge" ? openEdge(fleet, backend) : openNodes(fleet);
  const capacity = await calibrate(post, fleet.nodes.length);
  const tally = new Tally();
  const everyMs = 1000 / (times * capacity);
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  const load = { post, tally, endsAt };
  const calls: Promise<void>[] = [];
  while (performance.now() < endsAt) {
    // As many as are due: a timer that comes late does not lower the load.
    while (startedAt + calls.length * everyMs <= performance.now()) calls.push(call(load, calibrationRuns + calls.length));
    await pause(1);
  }
  await Promise.all(calls);
  await backend.close();
  const effects = fleet.shelf.effects.counts();
  const wrongEffects = tally.results.filter((n) => effects.get(n) !== 1).length + [...tally.refusals].filter((n) => effects.has(n)).length;
  const goodput = tally.inTime / seconds;
  const { withTicket, withoutTicket } = tally;
  return {
    through,
    capacity,
    offered: calls.length / seconds,
    seconds,
    goodput,
    goodputOverCapacity: goodput / capacity,
    requests: tally.requests,
    refused: tally.refused,
    lost: [...tally.losses.values()].reduce((sum, one) => sum + one, 0),
    losses: Object.fromEntries(tally.losses),
    wrongEffects,
    withTicket,
    withoutTicket,
    admittedShare: (withTicket.admitted + withoutTicket.admitted) / (withTicket.cameAgain + withoutTicket.cameAgain),
  };
}

/** Issue and ABUSE F7. */
export function overloadHolds({ goodputOverCapacity, lost, wrongEffects, admittedShare }: OverloadReport): boolean {
  return goodputOverCapacity >= 0.8 && lost === 0 && wrongEffects === 0 && admittedShare >= 0.95;
}
