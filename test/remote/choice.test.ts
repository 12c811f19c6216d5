import { describe, expect, it } from "vitest";
import { RetryBudget } from "../../src/adapters/remote/budget.ts";
import { choose } from "../../src/adapters/remote/choice.ts";
import { LoadMeter, parseLoad } from "../../src/adapters/remote/load.ts";

/** Gives the numbers one after the other, from the start again at the end. */
function drawn(...numbers: readonly number[]): () => number {
  let next = 0;
  return () => numbers[next++ % numbers.length] ?? 0;
}

function nodeWith({ name, load, outstanding = 0, tier = 0 }: { name: string; load?: string; outstanding?: number; tier?: number }) {
  const meter = new LoadMeter();
  meter.note(parseLoad(load ?? null));
  meter.outstanding = outstanding;
  return { name, tier, peer: { load: meter } };
}

describe("the choice of a node", () => {
  it("is the less busy one of the two that were drawn", () => {
    const idle = nodeWith({ name: "idle", load: "running=0, capacity=8" });
    const busy = nodeWith({ name: "busy", load: "running=7, capacity=8" });
    const full = nodeWith({ name: "full", load: "running=8, capacity=8, queued=5, queue=64" });
    const nodes = [idle, busy, full];
    for (const [first, second, name] of [
      [0, 0, "idle"],
      [0, 0.9, "idle"],
      [0.4, 0.9, "busy"],
      [0.9, 0.9, "busy"],
    ] as const) {
      expect(choose(nodes, drawn(first, second))?.name).toBe(name);
    }
  });

  it("goes by the share of a node that is taken, not by the number of runs", () => {
    const large = nodeWith({ name: "large", load: "running=20, capacity=64" });
    const small = nodeWith({ name: "small", load: "running=3, capacity=4" });
    expect(choose([small, large], drawn(0))?.name).toBe("large");
  });

  it("counts what was sent since a node spoke", () => {
    const [one, other] = [
      nodeWith({ name: "one", load: "running=1, capacity=4" }),
      nodeWith({ name: "other", load: "running=2, capacity=4" }),
    ];
    expect(choose([one, other], drawn(0))?.name).toBe("one");
    one.peer.load.outstanding = 2;
    expect(choose([one, other], drawn(0))?.name).toBe("other");
    // The runs that it counts itself are not counted twice.
    one.peer.load.note(parseLoad("running=2, capacity=4"));
    expect(one.peer.load.share).toBe(3 / 4);
  });

  it("goes by what was sent from here where a node says nothing", () => {
    const [quiet, known] = [nodeWith({ name: "quiet", outstanding: 3 }), nodeWith({ name: "known", load: "running=7, capacity=8" })];
    expect(choose([quiet, known], drawn(0))?.name).toBe("known");
    known.peer.load.outstanding = 4;
    expect(choose([known, quiet], drawn(0))?.name).toBe("quiet");
  });

  it("takes a node of a higher tier only where there is no other", () => {
    const nodes = [nodeWith({ name: "has it", load: "running=9, capacity=8" }), nodeWith({ name: "may have it", tier: 1 })];
    for (const random of [0, 0.5, 0.999]) expect(choose(nodes, drawn(random))?.name).toBe("has it");
    expect(choose([], drawn(0))).toBeUndefined();
  });

  it("draws each pair, and never the same node twice", () => {
    const nodes = ["a", "b", "c", "d"].map((name) => nodeWith({ name }));
    const pairs = new Set<string>();
    for (const first of [0, 0.25, 0.5, 0.75]) {
      for (const second of [0, 0.34, 0.67]) {
        const winner = choose(nodes, drawn(first, second))?.name ?? "";
        // Whichever is drawn first wins among equals; made busy, the other one is seen.
        const busy = nodes.map((node) => (node.name === winner ? nodeWith({ name: node.name, outstanding: 5 }) : node));
        pairs.add([winner, choose(busy, drawn(first, second))?.name].join());
      }
    }
    expect(pairs.size).toBe(12);
    expect([...pairs].filter((pair) => pair[0] === pair[2])).toEqual([]);
  });
});

describe("what a node says of its load", () => {
  it("is read", () => {
    expect(parseLoad("running=3, capacity=8, queued=0, queue=64")).toEqual({ running: 3, capacity: 8, queued: 0, queue: 64 });
    expect(parseLoad(" capacity=8,running=0;x=1,later=5,word=abc")).toEqual({ running: 0, capacity: 8, queued: 0, queue: 0 });
  });

  it.for([
    null,
    "",
    "running=3",
    "capacity=0, running=0",
    "running=-1, capacity=8",
    "running=1e3, capacity=8",
    "running=99999999, capacity=8",
    "x".repeat(1000),
  ])("is nothing where it cannot be read: %s", (header) => {
    expect(parseLoad(header)).toBeUndefined();
  });
});

describe("the budget for sending again", () => {
  it("is some at first, and then a tenth of the runs", () => {
    const budget = new RetryBudget(0.1);
    const spend = (): number => Array.from({ length: 100 }, () => budget.spend()).filter(Boolean).length;
    expect(spend()).toBe(10);
    for (let run = 0; run < 30; run++) budget.earn();
    expect(spend()).toBe(3);
    for (let run = 0; run < 100_000; run++) budget.earn();
    expect(spend()).toBe(10);
  });

  it("of nothing lets nothing be sent again for long", () => {
    const budget = new RetryBudget(0);
    for (let run = 0; run < 1000; run++) budget.earn();
    expect(Array.from({ length: 100 }, () => budget.spend()).filter(Boolean).length).toBe(10);
  });
});
