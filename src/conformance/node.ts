/** The guests, attackers and snapshots of the suites for harnesses on Node. */
export { attackMark, commandAttacker, commandVictim, imageAttacker, linuxSnapshot, type AttackImage } from "./abuse/native/node.ts";
export type { SnapshotParts } from "./abuse/native/node.ts";
export { commandGuest, imageGuest, traceFolder, wasmGuest } from "./guests/node.ts";
