import { expect, it } from "vitest";
import { createClient } from "../../src/client.ts";
import { defineProbe } from "../../src/conformance/index.ts";
import { wasmGuest } from "../../src/conformance/node.ts";
import { openService, problemOf } from "./support.ts";

const overloadMs = 8000;
const places = 4;
/** Waits by a timer, so that the pace is the same on a machine that is busy. */
const wait = { do: "sleep", ms: 200 };
const task = { tool: "probe", input: wait };

/** The status of each try of one caller, as far as it got. */
interface Caller {
  readonly statuses: number[];
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** Knows HTTP and nothing else: waits for as long as `Retry-After` says, and sends the same again. */
async function plainCaller(send: typeof fetch, url: string, body: string, over: AbortSignal): Promise<void> {
  for (;;) {
    const response = await send(`${url}/v1/executions`, { method: "POST", headers: { "content-type": "application/json" }, body });
    await response.arrayBuffer();
    if (response.status !== 429) return;
    if (!over.aborted) await sleep(Number(response.headers.get("retry-after")) * 1000, over);
    if (over.aborted) return;
  }
}

/** Runs that end in a time, while as many callers as keep all places taken send one after the other. */
async function measureCapacity(url: string, ms: number): Promise<number> {
  let ended = 0;
  const until = performance.now() + ms;
  const loop = async (): Promise<void> => {
    while (performance.now() < until) {
      const response = await fetch(`${url}/v1/executions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(task),
      });
      await response.arrayBuffer();
      if (performance.now() < until) ended++;
    }
  };
  await Promise.all(Array.from({ length: places + 4 }, loop));
  return ended / ms;
}

// Both sides are in this process: where another one takes the processor for a second, callers come late, and not by their own fault.
it("keeps its promises under ten times what it can do, and does as much as it can", { timeout: 60_000, retry: 2 }, async () => {
  const { url, service } = await openService({ concurrency: { running: places, queued: 32 } }, {}, [await defineProbe(await wasmGuest())]);
  const perMs = await measureCapacity(url, 2000);
  const over = new AbortController();
  const callers: Caller[] = [];
  const tries: Promise<unknown>[] = [];
  const calls: Promise<unknown>[] = [];
  const call = (): void => {
    const caller: Caller = { statuses: [] };
    const number = callers.push(caller);
    const input = { ...wait, number };
    const send = (target: string | URL | Request, init?: RequestInit): Promise<Response> => {
      // What was sent is answered, also when time is over.
      const answering = fetch(target, { ...init, signal: null });
      tries.push(answering.then(({ status }) => caller.statuses.push(status)));
      return answering;
    };
    const calling =
      number % 2 === 0
        ? plainCaller(send, url, JSON.stringify({ ...task, input }), over.signal)
        : createClient({ url, fetch: send, retries: 3 }).run({ ...task, input }, { signal: over.signal });
    calls.push(calling.catch(() => undefined));
  };
  const startedAt = performance.now();
  const taken: number[] = [];
  for (let offered = 0; performance.now() < startedAt + overloadMs;) {
    for (; offered < 10 * perMs * (performance.now() - startedAt); offered++) call();
    await new Promise((resolve) => setTimeout(resolve, 5));
    taken.push(service.runtime.load().reduce((sum, { running }) => sum + running, 0));
  }
  const served = callers.filter(({ statuses }) => statuses.at(-1) === 200).length;
  over.abort();
  await Promise.all(calls);
  await Promise.all(tries);
  for (const kind of [0, 1]) {
    const returned = callers.filter(({ statuses }, index) => index % 2 === kind && statuses[0] === 429 && statuses.length > 1);
    const admitted = returned.filter(({ statuses }) => statuses[1] !== 429);
    expect(returned.length).toBeGreaterThanOrEqual(5);
    expect(admitted.length / returned.length).toBeGreaterThanOrEqual(0.95);
  }
  // No place stays free for want of those who were told to come; what a run takes is the machine's affair.
  expect(taken.reduce((sum, one) => sum + one, 0) / taken.length / places).toBeGreaterThanOrEqual(0.8);
  expect(served).toBeGreaterThan(places);
  expect(callers.every(({ statuses }) => statuses.every((status) => status === 200 || status === 429))).toBe(true);
});

it("gives whoever is refused a ticket, and the same time again to one who comes too soon", async () => {
  const { post } = await openService({ concurrency: { running: 1, queued: 1 } }, {}, [await defineProbe(await wasmGuest())]);
  const long = { ...wait, ms: 5000 };
  const leaving = new AbortController();
  const busy = [0, 1].map((number) => post({ ...task, input: { ...long, number } }, {}, leaving.signal).catch(() => undefined));
  await new Promise((resolve) => setTimeout(resolve, 300));
  const first = await post(task);
  const { details } = await problemOf(first);
  const ticket = first.headers.get("toolruntime-ticket") ?? "";
  expect(details["ticket"]).toBe(ticket);
  expect(details["retryAfterMs"]).toBe(Number(first.headers.get("retry-after")) * 1000);
  const again = await post(task, { "toolruntime-ticket": ticket });
  expect(again.headers.get("toolruntime-ticket")).toBe(ticket);
  expect((await post(task, { "toolruntime-ticket": "x".repeat(1000) })).status).toBe(429);
  // What is answered with 202 has a place or waits for one.
  expect((await post(task, { prefer: "respond-async" })).status).toBe(429);
  leaving.abort();
  await Promise.all(busy);
});
