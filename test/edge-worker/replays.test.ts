import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, findBinary, openWorker, type Worker } from "../../bench/engines.ts";
import { durableReplays } from "../../src/edge/cloudflare/durable-replays.ts";
import type { ExecutionObjectOptions } from "../../src/edge/cloudflare/execution-object.ts";

const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

/** Used tokens in a Durable Object, in workerd; each isolate asks through a binding of its own. */
describe.skipIf(isMissing)("durableReplays", () => {
  let worker: Worker;
  beforeAll(async () => {
    const folder = fileURLToPath(new URL(".", import.meta.url));
    const code = await bundle('export * from "./store-entry.ts"; export { default } from "./store-entry.ts";', folder);
    worker = await openWorker(code, { objects: { EXECUTIONS: "Executions" } });
  });
  afterAll(() => worker?.[Symbol.asyncDispose]());

  function openIsolates(options: ExecutionObjectOptions = {}) {
    const store = crypto.randomUUID();
    const names = new WeakMap<object, string>();
    const open = () =>
      durableReplays({
        idFromName(name) {
          const id = {};
          names.set(id, encodeURIComponent(`${store} ${name}`));
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
      });
    return [open(), open()] as const;
  }

  const token = (id: string, issuer = "edge-1", validForMs = 60_000) => ({ id, issuer, validForMs });

  it("has one isolate take a token that many are given at once", async () => {
    const [one, other] = openIsolates();
    const all = await Promise.all(Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? one : other).spend(token("a"))));
    expect(all.toSorted()).toEqual(["first", ...Array.from({ length: 19 }, () => "seen")]);
    expect(await other.spend(token("a", "edge-2"))).toBe("first");
    expect(await other.spend(token("ab"))).toBe("first");
  });

  it("refuses what it has no room for, until something has run out, and pushes nothing out", async () => {
    const [replays, other] = openIsolates({ maxSpentTokens: 2 });
    expect([await replays.spend(token("a1", "edge-1", 300)), await replays.spend(token("a2"))]).toEqual(["first", "first"]);
    expect([await replays.spend(token("a3")), await other.spend(token("a3", "edge-2"))]).toEqual(["full", "first"]);
    expect(await replays.spend(token("a2"))).toBe("seen");
    await expect.poll(() => replays.spend(token("a3")), { timeout: 5000 }).toBe("first");
    expect([await replays.spend(token("a2")), await replays.spend(token("a4"))]).toEqual(["seen", "full"]);
  });

  it("takes no token where the object does not answer", async () => {
    const replays = durableReplays({ idFromName: () => ({}), get: () => ({ fetch: async () => new Response(null, { status: 500 }) }) });
    await expect(replays.spend(token("a"))).rejects.toMatchObject({ code: "ERR_BACKEND_UNAVAILABLE", started: false });
  });
});
