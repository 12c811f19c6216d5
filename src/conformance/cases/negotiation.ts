import { createRegistry } from "../../registry.ts";
import { profiles } from "../../profile.ts";
import type { Runtime, Task } from "../../runtime.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { defineTool } from "../../tool.ts";
import { check, fail, rejection, same } from "../assert.ts";
import { receiptOf, type Bench } from "../bench.ts";
import {
  canHold,
  foreignArtifact,
  leavesLimitsOpen,
  needsNetworkRefusal,
  stricterProfiles,
  undeclaredLimits,
  type ConformanceCase,
  type Requirement,
} from "../case.ts";

/** The codes with which a profile that the backend cannot hold is refused. */
const refusals = ["ERR_PROFILE_UNSUPPORTED", "ERR_LIMIT_UNENFORCEABLE"] as const;

const hasStricter: Requirement = (facts) => (stricterProfiles(facts).length > 0 ? undefined : "there is no stricter profile");

const clamps: Requirement = ({ profile }) => (profiles[profile].clamps ? undefined : `profile "${profile}" refuses what is over a maximum`);
const refusesMaxima: Requirement = ({ profile }) =>
  profiles[profile].clamps ? `profile "${profile}" cuts what is over a maximum` : undefined;

/** Compares what `explain` says of a task with what `execute` does with it. */
async function assertExplained(bench: Bench, runtime: Runtime, task: Task): Promise<void> {
  const explanations = await runtime.explain(task);
  const chosen = explanations.filter(({ verdict }) => verdict === "chosen");
  const outcome = await runtime.execute(task).then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  );
  if ("error" in outcome) {
    if (!(outcome.error instanceof ToolRuntimeError)) throw outcome.error;
    const { code } = outcome.error;
    same(chosen.length, 0, `how many runtimes would take a task that ends with ${code}`);
    check(
      explanations.some((one) => one.code === code),
      `execute says ${code}, explain ${explanations.map((one) => one.code).join(", ")}`,
    );
    return;
  }
  const [explanation = fail("explain names no runtime for a task that runs")] = chosen;
  const { result } = outcome;
  same([explanation.artifact, explanation.isolation], [result.backend.artifact, result.backend.isolation], "artifact and isolation");
  for (const { limit, value, mechanism } of explanation.limits ?? []) {
    same(receiptOf(result.limits, limit).requested, value, `requested of "${limit}"`);
    same(receiptOf(result.limits, limit).enforcedBy === "none", mechanism === "none", `whether nothing enforces "${limit}"`);
  }
  same(bench.facts.capability.artifact, result.backend.artifact, "the artifact");
}

const profileCases: readonly ConformanceCase[] = [
  {
    id: "profile-floor",
    title: "a task that wants a stricter profile gets it or is refused",
    requires: hasStricter,
    async run(bench) {
      for (const security of stricterProfiles(bench.facts)) {
        if (canHold(bench.facts, security)) {
          const { backend } = await bench.succeed({ do: "echo" }, { task: { security } });
          same(backend.profile, security, "the profile that the task ran under");
        } else {
          await bench.refuse(refusals, { do: "echo" }, { task: { security } });
        }
      }
    },
  },
  {
    id: "profile-of-runtime",
    title: "a runtime under a profile that its backend cannot hold runs nothing, and a task cannot lower it",
    requires: hasStricter,
    async run(bench) {
      for (const security of stricterProfiles(bench.facts)) {
        if (canHold(bench.facts, security)) {
          const { backend } = await bench.succeed({ do: "echo" }, { options: { security }, task: { security: "dev" } });
          same(backend.profile, security, "the profile that the task ran under");
          continue;
        }
        await bench.refuse(
          [...refusals, "ERR_ARGUMENT_INVALID", "ERR_CONFIG_INVALID"],
          { do: "echo" },
          { options: { security }, task: { security: "dev" } },
        );
      }
    },
  },
  {
    id: "best-effort-of-demand",
    title: "best effort does not waive what a profile demands",
    requires: hasStricter,
    async run(bench) {
      // Policy comes before what the backend can: also where it does not serve the profile.
      for (const security of stricterProfiles(bench.facts)) {
        for (const limit of profiles[security].demands) {
          await bench.refuse("ERR_POLICY_DENIED", { do: "echo" }, { task: { security, bestEffort: [limit] } });
        }
      }
    },
  },
  {
    id: "best-effort-denied",
    title: "an operator who allows no best effort gets none",
    requires: leavesLimitsOpen,
    async run(bench) {
      const [limit] = undeclaredLimits(bench.facts);
      const bestEffort = limit === undefined ? [] : [limit];
      await bench.refuse("ERR_POLICY_DENIED", { do: "echo" }, { options: { allowsBestEffort: false }, task: { bestEffort } });
    },
  },
];

const maximumCases: readonly ConformanceCase[] = [
  {
    id: "maximum-clamps",
    title: "in dev a request over the maximum is cut to it, and the receipt says so",
    requires: clamps,
    async run(bench) {
      const settings = { options: { maxima: { output: 2000 } }, task: { resources: { output: 9000 } } };
      const { limits } = await bench.succeed({ do: "echo" }, settings);
      const { applied, clampedFrom } = receiptOf(limits, "output");
      same([applied, clampedFrom], [2000, 9000], "applied and clampedFrom");
      await bench.ended("ERR_LIMIT_OUTPUT", { do: "fill", bytes: 5000 }, settings);
    },
  },
  {
    id: "maximum-refuses",
    title: "a request over the maximum is refused",
    requires: refusesMaxima,
    async run(bench) {
      await bench.refuse(
        "ERR_POLICY_DENIED",
        { do: "echo" },
        { options: { maxima: { output: 2000 } }, task: { resources: { output: 9000 } } },
      );
    },
  },
  {
    id: "resources-layers",
    title: "the task's value wins over the runtime's, and that over the tool's",
    async run(bench) {
      const applied = async (options: object, task: object): Promise<unknown> => {
        const manifest = { resources: { output: 3000 } };
        const { limits } = await bench.succeed({ do: "echo" }, { options, task, manifest });
        return receiptOf(limits, "output").applied;
      };
      same(await applied({}, {}), 3000, "applied of the tool's value");
      same(await applied({ resources: { output: 4000 } }, {}), 4000, "applied of the runtime's value");
      same(await applied({ resources: { output: 4000 } }, { resources: { output: "2Ki" } }), 2048, "applied of the task's value");
    },
  },
  {
    id: "resources-unreadable",
    title: "a quantity that cannot be read is refused",
    async run(bench) {
      const runtime = await bench.open();
      for (const output of ["lots", "-1", "1 Mi", "", 0, -5, 1.5e300]) {
        await bench.refuse("ERR_ARGUMENT_INVALID", { do: "echo" }, { runtime, task: { resources: { output } } });
      }
    },
  },
];

export const negotiationCases: readonly ConformanceCase[] = [
  ...profileCases,
  ...maximumCases,
  {
    id: "explain-agrees",
    title: "explain says what execute does",
    async run(bench) {
      const runtime = await bench.open();
      const tool = await bench.tool();
      const tasks: Omit<Task, "tool">[] = [{}, { resources: { output: 5000 } }, { security: "standard" }, { security: "hardened" }];
      for (const limit of undeclaredLimits(bench.facts)) {
        tasks.push({ resources: { [limit]: 1 } }, { resources: { [limit]: 1 }, bestEffort: [limit] });
      }
      for (const task of tasks) await assertExplained(bench, runtime, { tool, ...task });
    },
  },
  {
    id: "artifact-unsupported",
    title: "a tool without an artifact that the backend takes is refused",
    requires: (facts) => (foreignArtifact(facts) === undefined ? "the runtime takes every kind of artifact" : undefined),
    async run(bench) {
      const runtime = await bench.open();
      const artifacts = foreignArtifact(bench.facts) === "wasm" ? { wasm: { abi: "wasi-p1" as const } } : { command: { argv: ["true"] } };
      const manifest = { name: "other", version: "1.0.0", description: "Has another artifact", inputSchema: true };
      const tool = await defineTool({ ...manifest, artifacts });
      await bench.refuse("ERR_ARTIFACT_UNSUPPORTED", { do: "echo" }, { runtime, tool });
      const [explanation] = await runtime.explain({ tool });
      same([explanation?.verdict, explanation?.code], ["refused", "ERR_ARTIFACT_UNSUPPORTED"], "what explain says");
    },
  },
  {
    id: "network-refused",
    title: "a tool that needs the network is refused where there is none",
    requires: needsNetworkRefusal,
    async run(bench) {
      const manifest = { permissions: { network: ["example.com"] } };
      await bench.refuse("ERR_NETWORK_UNSUPPORTED", { do: "echo" }, { manifest });
    },
  },
  {
    id: "tool-by-name",
    title: "a tool is found by name, version and digest, and one that is not there is ERR_TOOL_NOT_FOUND",
    async run(bench) {
      const tool = await bench.tool({ name: "named" });
      const runtime = await bench.open({ tools: createRegistry([tool]) });
      for (const ref of [{ name: "named" }, { name: "named", version: "1.0.0" }, { name: "named", digest: tool.digest }]) {
        same((await bench.succeed({ do: "write", text: "here" }, { runtime, tool: ref })).stdout, "here", "stdout");
      }
      for (const ref of [{ name: "other" }, { name: "named", version: "2.0.0" }, { name: "named", digest: `sha256:${"0".repeat(64)}` }]) {
        await rejection(runtime.execute({ tool: ref }), { code: "ERR_TOOL_NOT_FOUND", started: false });
      }
    },
  },
];
