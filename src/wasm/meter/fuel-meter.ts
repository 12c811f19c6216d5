import { fuelName } from "./names.ts";

export interface FuelOptions {
  /** The most that the run may use, in units. No end unless given. */
  readonly limit?: number;
  /** What a module begins with, as it was given to `meterModule`. */
  readonly initialFuel: number;
}

/** The host's books of one run's fuel, over all its instances. */
export class FuelMeter {
  readonly #initialFuel: number;
  readonly #limit: number;
  readonly #globals: WebAssembly.Global[] = [];
  #granted = 0;
  #charged = 0;
  #isExhausted = false;

  constructor({ limit = Number.POSITIVE_INFINITY, initialFuel }: FuelOptions) {
    this.#limit = limit;
    this.#initialFuel = initialFuel;
  }

  /** Whether the limit ended the run. */
  get isExhausted(): boolean {
    return this.#isExhausted;
  }

  /** Units used until now, by the guest and by {@link charge}. Exact once the guest has ended or waits. */
  get used(): number {
    let left = 0;
    for (const global of this.#globals) left += global.value;
    return this.#granted - left + this.#charged;
  }

  /** Takes an instance's fuel into the books. To be called after instantiation. */
  bind(instance: WebAssembly.Instance): void {
    const global = instance.exports[fuelName];
    if (!(global instanceof WebAssembly.Global)) throw new TypeError(`the instance has no global ${fuelName}`);
    this.#globals.push(global);
    this.#granted += this.#initialFuel;
    const excess = this.#granted + this.#charged - this.#limit;
    if (excess > 0) this.#takeBack(excess);
  }

  /** Counts work that the host did for the guest. Where it passes the limit, the guest ends at its next checkpoint. */
  charge(units: number): void {
    this.#charged += units;
    if (this.#granted + this.#charged > this.#limit) this.#takeBack(this.#granted + this.#charged - this.#limit);
  }

  /** Takes what the guest still has, and a unit more, so that it comes to its checkpoint wherever it looks next. */
  interrupt(): void {
    for (const global of this.#globals) this.#take(global, global.value + 1);
  }

  #takeBack(most: number): void {
    let left = most;
    for (const global of this.#globals) left -= this.#take(global, Math.min(global.value, left));
  }

  #take(global: WebAssembly.Global, units: number): number {
    if (units <= 0) return 0;
    global.value -= units;
    this.#granted -= units;
    return units;
  }

  /** The next grant, for the checkpoint to give: what is wanted, or what the limit leaves; negative once it is reached. */
  grant(wanted: number): number {
    // What another instance still has of an earlier grant is not used up.
    if (this.#room <= 0 && this.#globals.length > 1) this.interrupt();
    if (this.#room <= 0) {
      this.#isExhausted = true;
      return -1;
    }
    const units = Math.max(1, Math.min(Math.floor(wanted), this.#room, 2 ** 30));
    this.#granted += units;
    return units;
  }

  get #room(): number {
    return this.#limit - this.#granted - this.#charged;
  }
}
