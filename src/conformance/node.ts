/** The guests, attackers and snapshots of the suites for harnesses on Node. */
export { attackMark, commandAttacker, commandVictim, linuxSnapshot } from "./abuse/native/node.ts";
export type { SnapshotParts } from "./abuse/native/node.ts";
export { commandGuest, traceFolder, wasmGuest } from "./guests/node.ts";
