import type { Backend, Leftover } from "../../backend.ts";
import { toToolRuntimeError, ToolRuntimeError } from "../../errors.ts";
import { backendNames, openBackend, parseBackendName, type BackendName } from "../backends.ts";
import { defineCommand, valuesOf } from "../command.ts";
import { exitCodes, UsageError } from "../exit-codes.ts";
import { openTerminal, styled, type Piece, type Terminal } from "../terminal.ts";

const notes = `A service that is killed leaves what it had running: processes, containers, cgroups, mounted folders. A process of its own removes
them, and so does its next start; this command is for where there is neither. It shows what it would remove, and removes it with
--remove. What belongs to a process that lives is never touched: the owner is known by its pid, its start and the boot, and one in
another PID namespace counts as alive.

Without --config it looks where backends are by default, and where DOCKER_HOST, CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE say; with
it, at the sockets and scratch folders that the configuration names. Run it as the user that the service runs as.

Exit codes: 0 nothing is left: there was nothing, or all of it was removed · 1 something is left, or a backend that was named by
--backend or --config could not be looked at · 2 wrong usage.

Examples:
  toolruntime gc
  toolruntime gc --config /etc/toolruntime/toolruntime.json --remove
  toolruntime gc --backend docker --json | jq '.backends[].leftovers[] | {kind, name, pid: .owner.pid}'`;

const args = {
  remove: { type: "boolean", description: "Remove what is shown" },
  backend: { type: "string", description: "Only this backend; may be repeated", valueHint: "name" },
  config: { type: "string", description: "The configuration of the service whose leftovers are looked for", valueHint: "file" },
  json: { type: "boolean", description: "Print what is found as JSON" },
} as const;

/** A daemon that takes a connection and never answers holds nothing up. */
const patienceMs = 60_000;

export const gc = defineCommand({
  meta: { name: "toolruntime gc", description: "Shows what killed services have left on this machine, and removes it" },
  args,
  notes,
  run: async ({ args: options, rawArgs }) => {
    const terminal = openTerminal();
    const named = valuesOf(rawArgs, args, "backend").map(parseBackendName);
    const openers = await openersOf(named, options.config);
    const isAsked = named.length > 0 || options.config !== undefined;
    const looking = [...openers].map(([name, open]) => lookAt(name, open, options.remove === true));
    const places = await terminal.progress("Looking", Promise.all(looking));
    if (options.json === true) terminal.json({ backends: places.map(jsonOf) });
    else print(terminal, places);
    const isLeft = places.some(({ left, error, isOpen }) => left.length > 0 || (error !== undefined && (isAsked || isOpen)));
    return isLeft ? exitCodes.failed : exitCodes.ok;
  },
});

type Open = () => Promise<Backend>;

/** @throws `ERR_CONFIG_INVALID`, and a UsageError for a backend that the configuration has not. */
async function openersOf(named: readonly BackendName[], config: string | undefined): Promise<ReadonlyMap<BackendName, Open>> {
  if (config === undefined) {
    const options = { allowsUnsafe: true, needsProcesses: true, warn: () => undefined };
    return new Map((named.length === 0 ? backendNames : named).map((name) => [name, () => openBackend(name, options)]));
  }
  const [{ loadConfig }, { reapedBackends }, { openLeft }] = await Promise.all([
    import("../../adapters/executor/index.ts"),
    import("../../adapters/executor/reaper/mission.ts"),
    import("../../adapters/executor/reaper/clean-up.ts"),
  ]);
  const backends = reapedBackends(await loadConfig(config));
  const missing = named.find((name) => backends[name] === undefined);
  if (missing !== undefined) throw new UsageError(`${config} has no backend "${missing}" that could leave something`);
  const names = backendNames.filter((name) => backends[name] !== undefined && (named.length === 0 || named.includes(name)));
  return new Map(
    names.map((name) => [name, () => openLeft(backends, name) ?? Promise.reject(new Error(`There is no backend "${name}"`))] as const),
  );
}

interface Place {
  readonly name: BackendName;
  /** What there was. */
  readonly found: readonly Leftover[];
  /** What there is still. */
  readonly left: readonly Leftover[];
  /** What kept it from being looked at or removed. */
  readonly error: ToolRuntimeError | undefined;
  /** Whether the backend could be looked at. */
  readonly isOpen: boolean;
}

async function lookAt(name: BackendName, open: Open, removes: boolean): Promise<Place> {
  let backend: Backend | undefined;
  let found: readonly Leftover[] | undefined;
  let error: ToolRuntimeError | undefined;
  try {
    backend = await inTime(name, open());
    found = await inTime(name, backend.leftovers());
    if (removes && found.length > 0) await inTime(name, backend.reap());
  } catch (thrown) {
    error = toToolRuntimeError(thrown);
  }
  const again = removes && found !== undefined ? backend?.leftovers() : undefined;
  const left = again === undefined ? found : await inTime(name, again).catch(() => found ?? []);
  if (error === undefined) await backend?.close();
  return { name, found: found ?? [], left: left ?? [], error, isOpen: found !== undefined };
}

async function inTime<T>(name: BackendName, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const state = `it did not answer within ${patienceMs / 1000} s`;
    late.reject(new ToolRuntimeError("ERR_BACKEND_UNAVAILABLE", `Cannot look at backend "${name}": ${state}`, { backend: name }));
  }, patienceMs);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function timeOf(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

function jsonOf({ name, found, left, error, isOpen }: Place): object {
  const leftovers = found.map(({ madeAtMs, owner: { startedAtMs, ...owner }, ...one }) => ({
    ...one,
    ...(madeAtMs === undefined ? {} : { madeAt: timeOf(madeAtMs) }),
    owner: { ...owner, ...(startedAtMs === undefined ? {} : { startedAt: timeOf(startedAtMs) }) },
    isLeft: isAmong(left, one),
  }));
  return {
    name,
    status: isOpen ? "looked" : "unavailable",
    ...(error === undefined ? {} : { code: error.code, reason: error.message }),
    leftovers,
  };
}

function isAmong(all: readonly Leftover[], { kind, name }: Pick<Leftover, "kind" | "name">): boolean {
  return all.some((one) => one.kind === kind && one.name === name);
}

function print(terminal: Terminal, places: readonly Place[]): void {
  const rows = places.flatMap(({ name, found, left }) =>
    found.map((one): Piece[] => {
      const { kind, owner, madeAtMs } = one;
      const { pid, boot, startedAtMs } = owner;
      const start = startedAtMs === undefined ? `of the boot ${boot}` : `started ${timeOf(startedAtMs)}`;
      const state = isAmong(left, one) ? styled("yellow", "left") : styled("green", "removed");
      return [state, name, kind, one.name, `process ${pid} ${start}`, timeOf(madeAtMs) ?? "-"];
    }),
  );
  if (rows.length > 0)
    terminal.table([["STATE", "BACKEND", "KIND", "NAME", "OWNER", "MADE"].map((title) => styled("bold", title)), ...rows]);
  for (const { name, error } of places) if (error !== undefined) terminal.note(styled("yellow", `${name}: `), error.message);
  const left = places.reduce((sum, place) => sum + place.left.length, 0);
  const removed = rows.length - places.reduce((sum, { found, left: still }) => sum + found.filter((one) => isAmong(still, one)).length, 0);
  if (rows.length === 0) terminal.print("Nothing was left by a killed service");
  else if (removed > 0) terminal.print(`${removed} removed, ${left} left`);
  else terminal.print(`${left} left; --remove removes what is left`);
}
