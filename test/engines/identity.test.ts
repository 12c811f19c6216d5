import { beforeAll, describe, expect, test } from "vitest";
import { engines, findBinary, type Engine } from "../../bench/engines.ts";
import { askAll, differences, type Answer } from "./identity/answers.ts";
import { caseCount, makeCases } from "./identity/cases.ts";
import { openHost } from "./identity/hosts.ts";
import { readFixtures } from "./identity/sample-cases.ts";
import { packBuilds, packTools, traps } from "./identity/tools.ts";

/**
 * The same requests to the same service on each engine, over HTTP. Answers are compared whole: status, events, output, exit
 * codes, receipts with their fuel, problem documents, files. Only ids and what a clock measured are left out.
 */
const seed = 20_261_122;

const ran = engines.filter((engine) => {
  const found = findBinary(engine);
  if ("missing" in found) console.log(`Not run on ${engine}: ${found.missing}`);
  return !("missing" in found);
});
const answers = new Map<Engine | "node again", Answer[]>();

function answersOf(engine: Engine | "node again"): Answer[] {
  return answers.get(engine) ?? [];
}

beforeAll(async () => {
  const [tools, builds, fixtures] = await Promise.all([packTools(), packBuilds(), readFixtures()]);
  const cases = makeCases(seed, fixtures);
  const answer = async (name: Engine | "node again"): Promise<void> => {
    const engine = name === "node again" ? "node" : name;
    await using host = await openHost(engine, { tools, builds });
    const startedAt = performance.now();
    answers.set(name, await askAll(host.url, cases));
    console.log(`${cases.length} cases on ${name} in ${Math.round(performance.now() - startedAt)} ms`);
  };
  await Promise.all([...ran, "node again" as const].map(answer));
}, 240_000);

describe("the service", () => {
  test.for(["node again", ...engines.filter((engine) => engine !== "node")] as const)("answers on %s as on Node", (engine, { skip }) => {
    if (engine !== "node again" && !ran.includes(engine)) skip(`${engine} is not here`);
    expect(differences(answersOf("node"), answersOf(engine)).join("\n\n")).toBe("");
  });
});

describe("what was compared", () => {
  const all = (): string[] => answersOf("node").map(({ lines }) => lines.join("\n"));
  const count = (pattern: RegExp): number => all().filter((text) => pattern.test(text)).length;

  test("there were as many cases as there should be, and no internal error", () => {
    expect(answersOf("node").length).toBe(caseCount);
    expect(all().filter((text) => text.includes("ERR_INTERNAL"))).toEqual([]);
  });

  test("there were results, streams, files, refusals and fuel in number", () => {
    expect(count(/^200 application\/json/)).toBeGreaterThan(50);
    expect(count(/^200 application\/x-ndjson/)).toBeGreaterThan(50);
    expect(count(/^4\d\d application\/problem\+json/)).toBeGreaterThan(25);
    expect(count(/^blob 200 /m)).toBeGreaterThan(8);
    expect(count(/"limit": "fuel"/)).toBeGreaterThan(100);
    expect(count(/"base64": /)).toBeGreaterThan(0);
    expect(count(/"truncated": \{\s+"stdout": true/)).toBeGreaterThan(1);
    expect(count(/"exitCode": [1-9]/)).toBeGreaterThan(20);
  });

  test("each trap was one of its own name", () => {
    const names = all().flatMap((text) => /"trap": "([^"]+)"/.exec(text)?.[1] ?? []);
    expect(new Set(names).size).toBeGreaterThan(traps.length);
  });

  test.each(["TIMEOUT", "CPU_TIME", "FUEL", "MEMORY", "OUTPUT", "DISK"])("a run ended with ERR_LIMIT_%s", (limit) => {
    expect(count(new RegExp(`"code": "ERR_LIMIT_${limit}"`))).toBeGreaterThan(0);
  });

  test("one byte more is seen", () => {
    const [first, ...others] = answersOf("node");
    const changed = { name: first?.name ?? "", lines: (first?.lines ?? []).map((line) => line.replace("exited", "exitee")) };
    expect(differences(answersOf("node"), [changed, ...others])).toEqual([expect.stringContaining('"kind": "exitee"')]);
  });
});
