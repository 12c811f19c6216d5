import type { ExecutionRequest } from "../../../src/wire.ts";
import { fixed, type Case, type Draft } from "./drafts.ts";
import { guestCases } from "./guest-cases.ts";
import { Random } from "./random.ts";
import { sampleMakers, type Fixtures } from "./sample-cases.ts";

export const caseCount = 200;

/** SQL asks for the time and for random numbers. */
const alwaysFixed: ReadonlySet<string> = new Set(["sqlite-query"]);

/** The guests' cases as they are, and then those of the sample tools in turn until there are enough. */
export function makeCases(seed: number, fixtures: Fixtures): Case[] {
  const random = new Random(seed);
  const cases: Case[] = [];
  const add = (name: string, draft: Draft): void => {
    cases.push({ name: `${cases.length} ${name}`, ...draft, streams: cases.length % 2 === 0 });
  };
  for (const [name, draft] of guestCases(random)) add(name, draft);
  const makers = Object.entries(sampleMakers);
  for (let turn = 0; cases.length < caseCount; turn++) {
    const [tool, make] = makers[turn % makers.length] ?? ["hash", sampleMakers.hash];
    const { input, files = {} } = make(random, fixtures);
    const inline = Object.entries(files).map(([path, bytes]) => [path, { base64: Buffer.from(bytes).toString("base64") }]);
    const isFixed = turn % 5 !== 4 || alwaysFixed.has(tool);
    const body: ExecutionRequest = { tool, input, ...(isFixed ? fixed(random) : {}) };
    add(tool, { body: inline.length === 0 ? body : { ...body, files: Object.fromEntries(inline) } });
  }
  return cases;
}
