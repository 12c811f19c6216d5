/** The namespace of what the rewriter imports. A module that imports from it by itself is refused. */
export const hostNamespace = "toolruntime:host";
/** Imported: `() -> i32`, called when fuel has run out. Gives a grant of units, or a negative number to end the guest. */
export const checkpointName = "checkpoint";
/**
 * Imported where {@link MeterOptions.wait} is set: `() -> i32`, called where the checkpoint gives 0, for what the checkpoint
 * would give otherwise.
 */
export const waitName = "wait";
/** Imported where {@link MeterOptions.memory} is `"import"`. */
export const memoryName = "memory";
/** Exported: a mutable i32 global, the units left. */
export const fuelName = "toolruntime:fuel";
/** Exported in deterministic mode: a mutable i32 global, the bytes of stack left by count; negative once the guest ran out of them. */
export const depthName = "toolruntime:depth";
/** Under this name a module's start function is exported where {@link MeterOptions.start} is `"export"`. */
export const startName = "toolruntime:start";
/** What a module may not export by itself. */
export const reservedPrefix = "toolruntime:";
