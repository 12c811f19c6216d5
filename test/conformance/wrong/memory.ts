import type { ProbeAction } from "../../../src/conformance/index.ts";
import { changeIo, wrongBackend, type WrongRuntime } from "./wrap.ts";

type Litter = ProbeAction & { readonly do: "litter" };

/** What fills memory in an action of the probe. */
function litterIn(action: ProbeAction): Litter[] {
  if (action.do === "steps") return action.steps.flatMap(litterIn);
  return action.do === "litter" ? [action] : [];
}

function actionOf(stdin: Uint8Array): ProbeAction | undefined {
  try {
    return JSON.parse(new TextDecoder().decode(stdin)) as ProbeAction;
  } catch {
    return undefined;
  }
}

/** What the probe answers to each of those actions that are done again; see below. */
const answer = '{"runs":1}';

export const wrongMemory: readonly WrongRuntime[] = [
  {
    // An engine cannot be made to hand out a memory as it is without breaking every program in it. So the guest's own instance
    // does once more, before anything else, what earlier runs did to their memory.
    name: "reuses memory and globals between runs",
    base: "wasm",
    fails: ["fresh-memory", "fresh-after-failure"],
    open: wrongBackend(() => {
      const earlier: Litter[] = [];
      return (run, plan, io) => {
        const action = actionOf(io.stdin);
        const again = [...earlier];
        if (action !== undefined && action !== null && typeof action === "object") earlier.push(...litterIn(action));
        if (action === undefined || again.length === 0) return run(plan, io);
        const stdin = new TextEncoder().encode(JSON.stringify({ do: "steps", steps: [...again, action] }));
        let left = again.length * answer.length;
        const stdout = (bytes: Uint8Array): void | Promise<void> => {
          const own = bytes.subarray(left);
          left -= bytes.length - own.length;
          return own.length === 0 ? undefined : io.stdout(own);
        };
        return run(plan, changeIo(io, { stdin, stdout }));
      };
    }),
  },
];
