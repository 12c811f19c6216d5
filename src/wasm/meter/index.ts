/**
 * Fuel for WebAssembly on any JavaScript engine, by rewriting the module: portable, without dependencies, of use alone.
 */
export { BinaryError } from "../binary.ts";
export { FuelMeter, type FuelOptions } from "./fuel-meter.ts";
export { meterModule, type Import, type ImportKind, type MeteredModule, type MeterOptions } from "./module.ts";
export { checkpointName, depthName, fuelName, hostNamespace, memoryName, startName, waitName } from "./names.ts";
export { defaultBounds, type ModuleBounds } from "./bounds.ts";
