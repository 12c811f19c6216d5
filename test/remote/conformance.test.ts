import { describe, expect, it } from "vitest";
import { conformanceCases, runConformance, type Verdict } from "../../src/conformance/index.ts";
import { unsafeTarget, wasmTarget, type Target } from "../conformance/targets.ts";
import { acceptRunsc, containerdTarget, dockerTarget, findDaemons, gvisorTarget } from "../conformance/containers.ts";
import { remoteTarget, type Behind } from "./target.ts";

type OpenTarget = () => Promise<Target>;

interface Case extends Behind {
  readonly name: string;
}

function containersOf(found: Exclude<ReturnType<typeof findDaemons>, string>): Case[] {
  const { sockets, imageFolder } = found;
  const acceptEngines = ["runc@1.1.5"];
  const profile = "standard";
  return [
    {
      name: "docker",
      profile,
      backends: { docker: { socketPath: sockets.docker, acceptEngines } },
      open: () => dockerTarget(found, profile),
    },
    {
      name: "containerd",
      profile,
      backends: { containerd: { socketPath: sockets.containerd, acceptEngines } },
      open: () => containerdTarget(found, profile),
    },
    {
      name: "gvisor",
      profile,
      backends: { gvisor: { imageFolder, acceptEngines: acceptRunsc } },
      open: () => gvisorTarget(found, profile),
    },
  ];
}

/** What became of cases, with the reasons of those that were left out or failed. */
async function verdictsOf(open: OpenTarget, only: readonly string[], concurrency: number): Promise<Map<string, string>> {
  const target = await open();
  try {
    const verdicts = await runConformance(target.options, { only, concurrency });
    return new Map(verdicts.map((verdict) => [verdict.id, describeVerdict(verdict)]));
  } finally {
    await target.close();
  }
}

function describeVerdict(verdict: Verdict): string {
  if (verdict.outcome === "skipped") return `skipped: ${verdict.reason}`;
  return verdict.outcome === "failed" ? `failed: ${verdict.error.message}` : "passed";
}

/** Cases race against timeouts: those that differ where others run beside are judged again by themselves. */
async function compare(openHere: OpenTarget, openThere: OpenTarget) {
  let ids: readonly string[] = conformanceCases.map(({ id }) => id);
  const [here, there] = [new Map<string, string>(), new Map<string, string>()];
  for (const concurrency of [2, 1, 1]) {
    for (const [id, verdict] of await verdictsOf(openHere, ids, concurrency)) here.set(id, verdict);
    for (const [id, verdict] of await verdictsOf(openThere, ids, concurrency)) there.set(id, verdict);
    ids = ids.filter((id) => here.get(id) !== there.get(id) || here.get(id)?.startsWith("failed") === true);
    if (ids.length === 0) break;
  }
  return { here, there };
}

const daemons = findDaemons();
if (typeof daemons === "string") console.log(`Not run on docker, containerd and gvisor: ${daemons}`);

const wasmIn = (profile: "dev" | "standard"): Case => ({
  name: "wasm",
  profile,
  backends: { wasm: {} },
  open: () => wasmTarget({ profile }),
});

const cases: readonly Case[] = [
  wasmIn("dev"),
  wasmIn("standard"),
  { name: "unsafe", profile: "dev", backends: { unsafe: { acceptUnsafe: true } }, open: () => unsafeTarget() },
  ...(typeof daemons === "string" ? [] : containersOf(daemons)),
];

describe("the conformance suite through the remote backend gives the verdicts that it gives locally", () => {
  it.for(cases)("$name in profile $profile", { timeout: 900_000 }, async (behind) => {
    const { here, there } = await compare(
      async () => behind.open(),
      () => remoteTarget(behind),
    );
    expect(Object.fromEntries(there)).toEqual(Object.fromEntries(here));
    expect([...there.values()].filter((verdict) => verdict === "passed").length).toBeGreaterThan(80);
  });
});
