import { describe, expect, it, onTestFinished, vi } from "vitest";
import { Standing, type StandingState } from "../../src/adapters/remote/standing.ts";
import { ToolRuntimeError } from "../../src/index.ts";

const lost = new ToolRuntimeError("ERR_CONNECTION_FAILED", "Cannot reach it");
const broken = new ToolRuntimeError("ERR_ANSWER_INVALID", "Cannot read it");

/** A node's standing on a clock that a test moves. */
function open() {
  vi.useFakeTimers({ toFake: ["Date"] });
  onTestFinished(() => void vi.useRealTimers());
  const states: StandingState[] = [];
  const standing = new Standing({ failures: 3, outMs: 1000, maxOutMs: 4000 }, (state) => states.push(state));
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const pass = (ms: number): void => void vi.setSystemTime(Date.now() + ms);
  const fail = async (times: number): Promise<void> => {
    for (let index = 0; index < times; index++) {
      standing.begin().failed(lost, false);
      await settled();
    }
  };
  return { standing, states, settled, pass, fail };
}

describe("a node's standing", () => {
  it("ends after failures in a row, and no others", async () => {
    const { standing, states, settled, fail } = open();
    for (let index = 0; index < 5; index++) {
      await fail(2);
      standing.begin().succeeded();
      await settled();
    }
    expect([standing.state, states]).toEqual(["in", []]);
    // What says nothing of the node counts for neither.
    await fail(2);
    standing.begin().ended();
    await settled();
    await fail(1);
    expect([standing.state, standing.mayServe, standing.reason]).toEqual(["out", false, lost]);
  });

  it("is tried by one run at a time, and is out for twice as long each time, up to the most", async () => {
    const { standing, settled, pass, fail } = open();
    await fail(3);
    for (const outMs of [1000, 2000, 4000, 4000]) {
      pass(outMs - 1);
      expect([standing.outForMs, standing.mayServe]).toEqual([1, false]);
      pass(1);
      expect(standing.mayServe).toBe(true);
      const trial = standing.begin();
      expect([standing.state, standing.mayServe]).toEqual(["trial", false]);
      standing.begin().succeeded();
      await settled();
      expect(standing.state).toBe("trial");
      trial.failed(lost, false);
      await settled();
      expect(standing.state).toBe("out");
    }
  });

  it("is good again as soon as the node takes the run that tries it, whatever becomes of that run", async () => {
    const { standing, states, settled, pass, fail } = open();
    await fail(3);
    pass(1000);
    const trial = standing.begin();
    trial.accepted();
    await settled();
    expect([standing.state, standing.reason]).toEqual(["in", undefined]);
    trial.failed(lost, false);
    await settled();
    expect([standing.state, states]).toEqual(["in", ["out", "trial", "in"]]);
    // It begins anew, with the first time out.
    await fail(2);
    expect([standing.state, standing.outForMs]).toEqual(["out", 1000]);
  });

  it("stays out where the run that tries it is given up", async () => {
    const { standing, settled, pass, fail } = open();
    await fail(3);
    pass(1000);
    standing.begin().ended();
    await settled();
    expect([standing.state, standing.outForMs]).toEqual(["out", 2000]);
  });

  it("ends with one lie, for much longer, and runs that end well beside it take nothing back", async () => {
    const { standing, settled, pass } = open();
    const [liar, other] = [standing.begin(), standing.begin()];
    liar.failed(broken, true);
    other.succeeded();
    await settled();
    expect([standing.state, standing.isLiar, standing.reason, standing.outForMs]).toEqual(["out", true, broken, 30_000]);
    standing.good();
    expect(standing.state).toBe("out");
    pass(30_000);
    const trial = standing.begin();
    trial.failed(broken, true);
    await settled();
    expect(standing.outForMs).toBe(60_000);
    pass(60_000);
    standing.begin().accepted();
    await settled();
    expect([standing.state, standing.isLiar]).toEqual(["in", false]);
  });

  it("is good again where a node that was asked although it was out answers well", async () => {
    const { standing, settled, fail } = open();
    await fail(3);
    standing.begin().succeeded();
    await settled();
    expect(standing.state).toBe("in");
    await fail(2);
    expect(standing.state).toBe("in");
  });

  it("is tried anew where nothing was heard of the run that tried it", async () => {
    const { standing, settled, pass, fail } = open();
    await fail(3);
    pass(1000);
    standing.begin();
    expect(standing.mayServe).toBe(false);
    pass(30_001);
    expect(standing.mayServe).toBe(true);
    standing.begin().succeeded();
    await settled();
    expect(standing.state).toBe("in");
  });
});
