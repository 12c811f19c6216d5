import { Errno } from "./abi.ts";
import type { WasiState } from "./state.ts";

/** There are no sockets: what is open is something else. */
export function refuseSocket(state: WasiState, fd: number): number {
  state.memory.refresh();
  return state.descriptors.get(fd) === undefined ? Errno.badf : Errno.notsock;
}
