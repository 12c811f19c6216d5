import { defineTool, type CompiledArtifact, type Manifest, type ManifestInput, type Tool } from "../tool.ts";

/**
 * What the probe, the guest program of the suite, can be told. It answers on stdout; numbers are whole. Where a file
 * operation may fail it answers `{"ok":true}` or `{"ok":false,"error":"ENOENT"}`, and ends with exit code 0 all the same.
 */
export type ProbeAction =
  /** Writes stdin to stdout as it came. What an input without `do` means. */
  | { readonly do: "echo"; readonly text?: string }
  /** Writes the bytes, `count` times in as many writes. */
  | ({ readonly do: "write"; readonly to?: "stdout" | "stderr"; readonly count?: number } & Payload)
  /**
   * Writes {@link pattern}. With `report` it tells on stderr of the first write that took at least so many ms: how many ms, and
   * how many bytes it had written before: `{"before":65536,"stallMs":700}`, with `stallMs` 0 where there was none.
   */
  | { readonly do: "fill"; readonly to?: "stdout" | "stderr"; readonly bytes: number; readonly chunk?: number; readonly report?: number }
  | { readonly do: "exit"; readonly code: number }
  /** Fails as the artifact's kind fails: a WASM trap, SIGABRT. */
  | { readonly do: "trap" }
  /** Commands only: sends itself the signal. */
  | { readonly do: "signal"; readonly name: string }
  /** Writes the file's bytes to stdout. */
  | { readonly do: "read"; readonly path: string }
  /** Writes a file: the payload, then `bytes` zero bytes. With `count`, so many files `<path>0`, `<path>1`, …, and answers `{"saved":n}`. */
  | ({ readonly do: "save"; readonly path: string; readonly bytes?: number; readonly count?: number } & Payload)
  | { readonly do: "remove"; readonly path: string }
  /** All files below, as a sorted JSON array of paths. */
  | { readonly do: "list"; readonly path?: string }
  /** The whole environment as a JSON object. */
  | { readonly do: "env" }
  | { readonly do: "sleep"; readonly ms: number }
  /** What its clocks show: `{"realtimeMs":n,"monotonicUs":n}`. */
  | { readonly do: "clock" }
  /** 32 random bytes as hexadecimal digits: `{"random":"…"}`. */
  | { readonly do: "random" }
  /** Computes for so long; for ever where `ms` is not given. */
  | { readonly do: "spin"; readonly ms?: number }
  /** Takes and touches memory by the MiB; a line with the bytes so far for each 4 MiB, at the end `done`, or `failed` and exit code 1. */
  | { readonly do: "allocate"; readonly bytes: number; readonly holdMs?: number }
  /** Writes `beat` lines; a command also to the file `trace`. */
  | { readonly do: "heartbeat"; readonly count?: number; readonly everyMs?: number; readonly trace?: string }
  /** Fills memory with the bytes of `hex`, each xored with 0x5a. Answers how many runs this very instance has seen. */
  | { readonly do: "litter"; readonly hex: string }
  /** Looks for what `litter` has left: `{"found":n,"runs":n}`. */
  | { readonly do: "scan"; readonly hex: string }
  /** Commands only: starts so many processes: `{"started":n,"refused":n}`. */
  | { readonly do: "spawn"; readonly count: number }
  /** Commands only: leaves a process behind that beats into the file `trace`, and ends after `ms`. */
  | { readonly do: "orphan"; readonly trace: string; readonly ms?: number; readonly count?: number; readonly session?: boolean }
  /** Ends with exit code 0 without reading its input. Must be the input's first member. */
  | { readonly do: "deaf"; readonly text?: string }
  | { readonly do: "steps"; readonly steps: readonly ProbeAction[] };

interface Payload {
  readonly text?: string;
  readonly hex?: string;
}

/** The probe's programs, by the kinds of artifact that a backend may take. */
export interface Guests {
  /** `probe.wasm`, or what was built of it ahead of time. */
  readonly wasm?: Uint8Array | readonly CompiledArtifact[];
  /** How to start `probe.mjs`; relative paths start at the folder. */
  readonly command?: { readonly argv: readonly string[]; readonly folder?: string };
  /** An image in which `argv` starts `probe.mjs`. */
  readonly image?: { readonly reference: string; readonly argv: readonly string[] };
}

/** What a case wants of the probe's manifest besides its artifacts. */
export type ProbeManifest = Partial<Pick<ManifestInput, "name" | "inputSchema" | "outputSchema" | "resources" | "permissions">>;

/** Makes the probe a tool, with all the artifacts that there are. */
export function defineProbe(guests: Guests, manifest: ProbeManifest = {}): Promise<Tool> {
  const { wasm, command, image } = guests;
  const artifacts: Manifest["artifacts"] = {};
  const compiled = wasm === undefined || wasm instanceof Uint8Array ? undefined : wasm;
  const digest = compiled?.[0]?.of;
  if (wasm !== undefined) artifacts.wasm = { abi: "wasi-p1", ...(digest === undefined ? {} : { digest }) };
  if (command !== undefined) artifacts.command = { argv: [...command.argv] };
  if (image !== undefined) artifacts.image = { reference: image.reference, argv: [...image.argv] };
  return defineTool(
    { name: "probe", version: "1.0.0", description: "Does what its input says", inputSchema: true, ...manifest, artifacts },
    {
      ...(wasm instanceof Uint8Array ? { wasm } : {}),
      ...(compiled === undefined ? {} : { compiled }),
      ...(command?.folder === undefined ? {} : { folder: command.folder }),
    },
  );
}

/** The bytes that `fill` writes: printable, and no two pieces alike, so that bytes lost, doubled or out of order show. */
export function pattern(bytes: number): Uint8Array {
  const made = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at++) made[at] = 32 + ((at + (at >> 8) * 7 + (at >> 16) * 13) % 95);
  return made;
}

export function steps(...actions: readonly ProbeAction[]): ProbeAction {
  return { do: "steps", steps: actions };
}
