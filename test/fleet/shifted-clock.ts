// Loaded before all else into a process whose machine's clock is to be wrong: by as many ms as the variable says.
const shiftMs = Number(process.env["FLEET_CLOCK_SHIFT_MS"] ?? "0");
const RealDate = Date;
const shiftedNow = (): number => RealDate.now() + shiftMs;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget): object => Reflect.construct(target, args.length === 0 ? [shiftedNow()] : args, newTarget),
  apply: () => new RealDate(shiftedNow()).toString(),
  get: (target, key) => (key === "now" ? shiftedNow : Reflect.get(target, key)),
});
