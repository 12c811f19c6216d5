import { afterAll, describe, expect, test } from "vitest";
import { filesOf, load, openBench, toolNames } from "./support.ts";

const bench = openBench();
afterAll(() => bench[Symbol.asyncDispose]());

test("there are at least eight tools", () => {
  expect(toolNames.length).toBeGreaterThanOrEqual(8);
});

describe.each(toolNames)("%s", (name) => {
  test("has examples with the output that they must give", async () => {
    const { examples = [] } = (await load(name)).manifest;
    expect(examples.length).toBeGreaterThan(0);
    expect(examples.filter(({ output }) => output === undefined)).toEqual([]);
  });

  test.each(["wasm", "code", "command"] as const)("gives its examples' outputs as %s, where it has that artifact", async (artifact) => {
    const tool = await load(name);
    if (tool.manifest.artifacts[artifact] === undefined) return;
    for (const { input, files, output } of tool.manifest.examples ?? []) {
      const result = await bench[artifact].execute({ tool, input, files: await filesOf(name, files) });
      expect(result).toMatchObject({ exitCode: 0, stderr: "", output });
    }
  });
});
