/** For `toolruntime:dynamic` where no tool runs in an isolate of its own. */
export const openDynamic = undefined;
