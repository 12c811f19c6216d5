import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bundle, findBinary } from "../../bench/engines.ts";
import { Attacker, codeOf } from "../engines/workerd/attacker.ts";
import { attackTools } from "../engines/workerd/attacks.ts";
import { openService, type Service } from "./support.ts";

const timeout = 120;
const lateMs = 1500;
const attacks = ["loop", "loop-start", "tail-loop", "fill-loop", "host-calls", "poll-storm", "catch-spin", "throwing"];

const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

describe.skipIf(isMissing)("isolates whose clocks stand still while code runs", () => {
  let service: Service;
  let attacker: Attacker;

  beforeAll(async () => {
    const engine = await bundle('export { isolate } from "./frozen.ts";', fileURLToPath(new URL("fakes", import.meta.url)));
    service = await openService({ engine, tools: attackTools() });
    attacker = new Attacker(service.worker);
    await (await fetch(`${service.worker.url}/victim?nonce=first`)).text();
  });
  afterEach(() => attacker.oracle.holds());
  afterAll(() => service[Symbol.asyncDispose]());

  test.each(attacks)("%s ends at its timeout, and by fuel alone, while others are served", async (tool) => {
    const late = await attacker.run({ tool, security: "standard", resources: { timeout } });
    expect(codeOf(late)).toBe("ERR_LIMIT_TIMEOUT");
    expect(late.tookMs).toBeLessThan(timeout + lateMs);
    expect(codeOf(await attacker.run({ tool, security: "standard", resources: { fuel: 5_000_000 } }))).toBe("ERR_LIMIT_FUEL");
  });
});
