import { fileURLToPath } from "node:url";
import { bundle, findBinary, openWorker, type Worker } from "../../bench/engines.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DurableObjectNamespace } from "../../src/edge/cloudflare/bindings.ts";
import { durableExecutionStore } from "../../src/edge/cloudflare/durable-executions.ts";
import type { ExecutionObjectOptions } from "../../src/edge/cloudflare/execution-object.ts";
import type { Log } from "../../src/edge/index.ts";
import { createAuditLog, type Claim, type ExecutionStore } from "../../src/store.ts";
import { info, outcome, storeSuite } from "../edge/store-suite.ts";

const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

let worker: Worker;

beforeAll(async () => {
  if (isMissing) return;
  const code = await bundle(
    'export * from "./store-entry.ts"; export { default } from "./store-entry.ts";',
    fileURLToPath(new URL(".", import.meta.url)),
  );
  worker = await openWorker(code, { objects: { EXECUTIONS: "Executions" }, flags: ["enable_request_signal"] });
});
afterAll(async () => {
  if (!isMissing) await worker[Symbol.asyncDispose]();
});

const silent: Log = { info() {}, warn() {}, error() {} };
const never = new AbortController().signal;

/** The binding as an isolate has it: asking an object is a request. */
function namespaceOf(store: string, options: ExecutionObjectOptions): DurableObjectNamespace {
  const names = new WeakMap<object, string>();
  return {
    idFromName(name) {
      const id = {};
      names.set(id, `${store} ${name}`);
      return id;
    },
    get: (id) => ({
      fetch: (url, init) => {
        const headers = new Headers(init.headers);
        headers.set("x-object", names.get(id) ?? "");
        headers.set("x-options", JSON.stringify(options));
        return fetch(`${worker.url}${new URL(url).pathname}`, { ...init, headers });
      },
    }),
  };
}

/** As many isolates as are wanted, with the same objects. */
function openIsolates(count: number, options: ExecutionObjectOptions = {}, renewMs = 50): ExecutionStore[] {
  const namespace = namespaceOf(crypto.randomUUID(), options);
  return Array.from({ length: count }, () => durableExecutionStore({ namespace, audit: createAuditLog(), log: silent, renewMs }));
}

function openIsolate(options: ExecutionObjectOptions = {}, renewMs = 50): ExecutionStore {
  const [store] = openIsolates(1, options, renewMs);
  if (store === undefined) throw new Error("there is none");
  return store;
}

async function until<T>(look: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const value = await look();
    if (holds(value)) return value;
    if (performance.now() > deadline) throw new Error("it did not come to hold");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const claimOf = (executionId: string) => ({ tenant: "red", key: "k", fingerprint: "f", executionId });

function settle(claim: Claim): Claim & { readonly kind: "first" } {
  if (claim.kind !== "first") throw new Error(`the key is not free: ${claim.kind}`);
  return claim;
}

describe.skipIf(isMissing)("on workerd", () => {
  storeSuite("executions in a Durable Object", (options = {}) => {
    const { audit: _, ...kept } = options;
    return openIsolate(kept);
  });

  describe("executions in a Durable Object, seen by several isolates", () => {
    it("gives to all what one wrote, each tenant its own", async () => {
      const [one, other] = openIsolates(2);
      await one?.create(info("a"));
      await one?.started("a");
      await one?.addEvent("a", { seq: 1, json: '{"type":"started"}' });
      expect(await other?.get("red", "a")).toMatchObject({ status: "running" });
      await one?.end("a", outcome("{}"));
      const seen = [];
      for await (const event of other?.events("red", "a", -1, never) ?? []) seen.push(event);
      expect(seen).toEqual([{ seq: 1, json: '{"type":"started"}' }]);
      expect(await other?.get("red", "a")).toMatchObject({ status: "ended", outcome: outcome("{}") });
      expect(await other?.get("blue", "a")).toBeUndefined();
      await one?.grantBlob("red", "sha256:1");
      expect([await other?.mayReadBlob("red", "sha256:1"), await other?.mayReadBlob("blue", "sha256:1")]).toEqual([true, false]);
    });

    it("keeps answers and events that are larger than a row, character by character", async () => {
      const store = openIsolate();
      const large = `"${"a😀".repeat(600_000)}"`;
      await store.create(info("a"));
      await store.addEvent("a", { seq: 1, json: large });
      await store.end("a", outcome(large));
      const state = await store.get("red", "a");
      expect(state?.outcome?.json === large).toBe(true);
      for await (const { json } of store.events("red", "a", 0, never)) expect(json === large).toBe(true);
    });

    it("lets who comes with the same key wait for the run of another isolate", async () => {
      const [one, other] = openIsolates(2);
      const first = settle((await one?.claim(claimOf("a"))) ?? { kind: "conflict" });
      const second = await other?.claim(claimOf("b"));
      if (second?.kind !== "repeat") throw new Error("it is not held");
      const waiting = second.wait(never);
      const gone = new AbortController();
      const impatient = second.wait(gone.signal);
      gone.abort();
      await expect(impatient).rejects.toMatchObject({ code: "ERR_ABORTED" });
      await first.keep(outcome("1"));
      expect(await waiting).toEqual(outcome("1"));
      expect(await other?.claim(claimOf("c"))).toMatchObject({ kind: "repeat", executionId: "a", outcome: outcome("1") });
    });

    it("frees a key that was let go, and gives those who wait the answer", async () => {
      const [one, other] = openIsolates(2);
      const first = settle((await one?.claim(claimOf("a"))) ?? { kind: "conflict" });
      const second = await other?.claim(claimOf("b"));
      const waiting = second?.kind === "repeat" ? second.wait(never) : undefined;
      await new Promise((resolve) => setTimeout(resolve, 50));
      await first.release(outcome("busy"));
      expect(await waiting).toEqual(outcome("busy"));
      expect((await other?.claim(claimOf("c")))?.kind).toBe("first");
    });

    it("tells the isolate that runs it that an execution is cancelled", async () => {
      const [one, other] = openIsolates(2);
      const cancelled = Promise.withResolvers<void>();
      await one?.create(info("a"), cancelled.resolve);
      await other?.cancel?.("red", "a");
      await cancelled.promise;
      await one?.end("a", outcome("{}"));
    });
  });

  describe("executions in a Durable Object, when isolates end", () => {
    const brief = { leaseMs: 1500 };
    /** An isolate that is gone renews nothing. */
    const neverMs = 2 ** 30;

    it("gives up a run that nobody renews; its key stands for it where the tool had started", async () => {
      const [one, other] = openIsolates(2, brief, neverMs);
      settle((await one?.claim(claimOf("a"))) ?? { kind: "conflict" });
      await one?.create(info("a"));
      await one?.started("a");
      const second = await other?.claim(claimOf("b"));
      const waiting = second?.kind === "repeat" ? await second.wait(never) : undefined;
      expect(JSON.parse(waiting?.json ?? "{}")).toMatchObject({ code: "ERR_EXECUTION_LOST", started: true, id: "a" });
      expect(await other?.get("red", "a")).toMatchObject({ status: "ended" });
      expect(await other?.claim(claimOf("c"))).toMatchObject({ kind: "repeat", executionId: "a" });
      await one?.end("a", outcome("too late"));
      expect((await other?.get("red", "a"))?.outcome?.json).not.toBe("too late");
    });

    it("frees the key of a run that had not started, or was not even noted", async () => {
      const [one, other] = openIsolates(2, brief, neverMs);
      settle((await one?.claim(claimOf("a"))) ?? { kind: "conflict" });
      await until(
        async () => (await other?.claim(claimOf("b")))?.kind,
        (kind) => kind === "first",
      );
      await one?.create(info("b"));
      await until(
        async () => (await other?.claim(claimOf("c")))?.kind,
        (kind) => kind === "first",
      );
    });

    it("leaves a run alone that is renewed", async () => {
      const [one, other] = openIsolates(2, { leaseMs: 2000 }, 100);
      await one?.create(info("a"));
      await new Promise((resolve) => setTimeout(resolve, 3000));
      expect(await other?.get("red", "a")).toMatchObject({ status: "accepted" });
      await one?.end("a", outcome("{}"));
    });

    it("tells an isolate that it has been given up", async () => {
      const [one] = openIsolates(1, { leaseMs: 50 }, 500);
      const given = Promise.withResolvers<void>();
      await one?.create(info("a"), given.resolve);
      await given.promise;
      await one?.end("a", outcome("{}"));
    });

    it("forgets by its alarm what is too old", async () => {
      const store = openIsolate({ keepMs: 1000, leaseMs: 100 });
      await store.create(info("a"));
      await store.end("a", outcome("{}"));
      expect(await store.get("red", "a")).toBeDefined();
      await until(
        async () => store.get("red", "a"),
        (state) => state === undefined,
      );
    });
  });
});
