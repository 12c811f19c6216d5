import { checkpointName, fuelName, hostNamespace } from "../src/wasm/meter/names.ts";

/** One kernel in both forms, as base64: no engine but Node reads files in Node's way. */
export interface Job {
  readonly name: string;
  readonly n: number;
  readonly plain: string;
  readonly metered: string;
}

export interface OpenJob {
  readonly job: Job;
  readonly plain: WebAssembly.Module;
  readonly metered: WebAssembly.Module;
}

export interface MeasureOptions {
  readonly rounds: number;
  /** Runs that are timed as one: more than one where the engine's clock is coarse. */
  readonly runs: number;
}

/** Milliseconds of one run, pair by pair; the two of a pair ran directly after each other. */
export interface Figures {
  readonly name: string;
  readonly checksum: number;
  /** Units that the first run of a fresh instance used. */
  readonly fuel: number;
  readonly plainMs: readonly number[];
  readonly meteredMs: readonly number[];
}

const slice = 2_000_000;
/** Runs without a gain of a twentieth after which a kernel counts as warm: engines optimise on other threads, in their own time. */
const steadyRuns = 8;
const mostWarmUps = 40;
/** Of a round. Other work on the machine comes in bursts, so there are many short pairs and the median decides. */
const pairsInRound = 3;

function decode(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

/** Compiles; apart from {@link measure}, as workerd compiles while it starts and never later. */
export function openJob(job: Job): OpenJob {
  return { job, plain: new WebAssembly.Module(decode(job.plain)), metered: new WebAssembly.Module(decode(job.metered)) };
}

class Subject {
  readonly #name: string;
  readonly #run: (n: number) => unknown;
  readonly #fuel: WebAssembly.Global | undefined;
  #grants = 0;

  constructor(name: string, module: WebAssembly.Module) {
    this.#name = name;
    const checkpoint = (): number => {
      this.#grants++;
      return slice;
    };
    const { exports } = new WebAssembly.Instance(module, { [hostNamespace]: { [checkpointName]: checkpoint } });
    const { run, [fuelName]: fuel } = exports;
    if (typeof run !== "function") throw new TypeError(`kernel "${name}" exports no function "run"`);
    this.#run = (n) => run(n);
    this.#fuel = fuel instanceof WebAssembly.Global ? fuel : undefined;
  }

  /** Units used until now; 0 where nothing is metered. */
  get used(): number {
    return this.#grants * slice - Number(this.#fuel?.value ?? 0);
  }

  run(n: number): number {
    const checksum = this.#run(n);
    if (typeof checksum !== "number") throw new TypeError(`kernel "${this.#name}" gave no number`);
    return checksum;
  }
}

class Pair {
  readonly plain: Subject;
  readonly metered: Subject;
  readonly #job: Job;

  constructor({ job, plain, metered }: OpenJob) {
    this.#job = job;
    this.plain = new Subject(job.name, plain);
    this.metered = new Subject(job.name, metered);
  }

  /** Times both. Who goes first changes with the round, so that what one leaves behind falls on the other as often as on itself. */
  time(round: number, runs: number): { readonly checksum: number; readonly plainMs: number; readonly meteredMs: number } {
    const isPlainFirst = round % 2 === 0;
    const first = this.#time(isPlainFirst ? this.plain : this.metered, runs);
    const second = this.#time(isPlainFirst ? this.metered : this.plain, runs);
    if (first.checksum !== second.checksum) {
      throw new Error(`kernel "${this.#job.name}" gives another checksum when metered: ${first.checksum} and ${second.checksum}`);
    }
    const [plainMs, meteredMs] = isPlainFirst ? [first.ms, second.ms] : [second.ms, first.ms];
    return { checksum: first.checksum, plainMs, meteredMs };
  }

  #time(subject: Subject, runs: number): { readonly checksum: number; readonly ms: number } {
    let checksum = 0;
    const start = performance.now();
    for (let run = 0; run < runs; run++) checksum = subject.run(this.#job.n);
    return { checksum, ms: (performance.now() - start) / runs };
  }
}

export function measure(open: OpenJob, { rounds, runs }: MeasureOptions): Figures {
  const pair = new Pair(open);
  const usedAtStart = pair.metered.used;
  const { checksum } = pair.time(0, 1);
  const fuel = pair.metered.used - usedAtStart;
  let best = { plainMs: Number.POSITIVE_INFINITY, meteredMs: Number.POSITIVE_INFINITY };
  for (let warmUp = 0, steady = 0; warmUp < mostWarmUps && steady < steadyRuns; warmUp++) {
    const { plainMs, meteredMs } = pair.time(warmUp, runs);
    steady = plainMs < best.plainMs * 0.95 || meteredMs < best.meteredMs * 0.95 ? 0 : steady + 1;
    best = { plainMs: Math.min(best.plainMs, plainMs), meteredMs: Math.min(best.meteredMs, meteredMs) };
  }
  const times = Array.from({ length: rounds * pairsInRound }, (_, round) => pair.time(round, runs));
  return {
    name: open.job.name,
    checksum,
    fuel,
    plainMs: times.map(({ plainMs }) => plainMs),
    meteredMs: times.map(({ meteredMs }) => meteredMs),
  };
}
