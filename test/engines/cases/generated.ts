import { checkpointName, depthName, FuelMeter, hostNamespace, meterModule, startName } from "../../../src/wasm/meter/index.ts";
import { trapOf } from "../../../src/wasm/traps.ts";
import { Choices } from "../../wasm-meter/choices.ts";
import type { Features } from "../../wasm-meter/features.ts";
import { generate, type Generated } from "../../wasm-meter/generate.ts";
import { run, type Run } from "../../wasm-meter/running.ts";
import { base64, hash, notTaken, type Sight } from "./observe.ts";

/** What all four engines take. Relaxed SIMD gives other results on each, and is refused. */
export const features: Features = {
  functionReferences: true,
  exceptions: true,
  oldExceptions: true,
  tailCalls: true,
  extendedConstants: true,
  relaxedSimd: false,
};

const initialFuel = 1000;

/** The event in words that are the same on every engine. */
function inOwnWords(event: string): string {
  const [, before, name, message = ""] = /^(.*threw )(\w+): (.*)$/s.exec(event) ?? [];
  if (before === undefined || name === undefined) return event;
  if (name === "RangeError") return `${before}the engine's own end: ${message}`;
  if (name !== "RuntimeError") return name === "Error" ? event : `${before}${name}`;
  const exit = trapOf(new WebAssembly.RuntimeError(message));
  return `${before}${exit?.kind === "trapped" ? exit.trap : message}`;
}

interface Ending {
  readonly seen: Run;
  readonly used: number;
  readonly lines: readonly string[];
}

function play(module: WebAssembly.Module, generated: Generated, { sliceUnits, limit }: { sliceUnits: number; limit?: number }): Ending {
  const meter = new FuelMeter({ initialFuel, ...(limit === undefined ? {} : { limit }) });
  let bound: WebAssembly.Instance | undefined;
  const bind = (instance: WebAssembly.Instance | undefined): void => {
    if (instance === undefined || bound !== undefined) return;
    bound = instance;
    meter.bind(instance);
  };
  const seen = run(module, generated, {
    imports: { [hostNamespace]: { [checkpointName]: () => meter.grant(sliceUnits) } },
    startName,
    look: bind,
    isOver: () => meter.isExhausted,
  });
  // An exported start function that threw left nobody to look.
  bind(seen.instance);
  const depth = seen.instance?.exports[depthName];
  const used = seen.instance === undefined ? 0 : meter.used;
  const books = `fuel ${used}, depth ${depth instanceof WebAssembly.Global ? depth.value : "not counted"}`;
  const memory = seen.memory === undefined ? "none" : `${seen.memory.length} ${hash(seen.memory)}`;
  return { seen, used, lines: [...seen.events.map(inOwnWords), ...seen.globals, `memory ${memory}`, books] };
}

/** Makes the module of a seed here, rewrites it here, and runs it to its end and to a limit in the middle. */
export function observeGenerated(seed: number, sliceUnits: number): Sight {
  const choices = new Choices(seed);
  const generated = generate(choices, { features, ends: "counted", nans: "any" });
  const start = seed % 2 === 0 ? "keep" : "export";
  const name = `generated ${seed}`;
  if (!WebAssembly.validate(generated.bytes)) return { name, rewritten: "", lines: [], refused: notTaken };
  const metered = meterModule(generated.bytes, { deterministic: true, memory: 16 * 65_536, start, initialFuel });
  const module = new WebAssembly.Module(metered.bytes);
  const whole = play(module, generated, { sliceUnits });
  const cut = play(module, generated, { sliceUnits, limit: Math.floor(whole.used / 2) });
  return { name, rewritten: base64(metered.bytes), lines: [...whole.lines, "cut off:", ...cut.lines] };
}
