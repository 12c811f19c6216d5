import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const source = fileURLToPath(new URL("../../src", import.meta.url));

interface Import {
  readonly from: string;
  readonly to: string;
}

function sourceFiles(folder = source): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name));
}

const statement =
  /(?:^|\n)\s*(?:import|export)\s[^;"']*?from\s*["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)|(?:^|\n)import\s*["']([^"']+)["']/g;

/** Every import of the sources, targets inside them as paths relative to `src`. */
function readImports(): Import[] {
  return sourceFiles().flatMap((file) => {
    const text = readFileSync(file, "utf8");
    return [...text.matchAll(statement)].map((match) => {
      const target = match[1] ?? match[2] ?? match[3] ?? "";
      const to = target.startsWith(".") ? relative(source, join(dirname(file), target)) : target;
      return { from: relative(source, file), to };
    });
  });
}

/** The part of the house that a file belongs to. */
function partOf(path: string): string {
  const [first = "", second = "", third = ""] = path.split("/");
  if (!path.includes("/")) return "root";
  if (first === "internal") return second === "node" ? "internal/node" : "internal";
  if (first === "wasm" && third === "jco") return "wasm/jco";
  if (first === "wasm") return second === "process" || second === "thread" ? `wasm/${second}` : "wasm";
  if (first === "backends" || first === "adapters") return `${first}/${second}`;
  if (first === "edge") return /^worker(?:-[a-z]+)?\.ts$/.test(second) ? "edge/worker" : "edge";
  return first;
}

const portable = ["root", "internal"];
const node = [...portable, "internal/node"];

/** Who may import whom, besides its own part. `cli`, `adapters/executor` and `edge/worker` put concrete parts together. */
const rules: Readonly<Record<string, readonly string[]>> = {
  root: portable,
  internal: portable,
  "internal/node": node,
  wasm: portable,
  "wasm/process": [...node, "wasm"],
  "wasm/thread": [...node, "wasm"],
  "wasm/jco": [...node, "wasm"],
  "backends/unsafe": node,
  "backends/oci": node,
  "backends/docker": [...node, "backends/oci"],
  "backends/containerd": [...node, "backends/oci"],
  // What a container is like is one for all that OCI settings are written for.
  "backends/gvisor": [...node, "backends/oci"],
  edge: portable,
  conformance: portable,
  "adapters/executor": [
    ...node,
    "adapters/remote",
    "adapters/trust",
    "wasm",
    "wasm/process",
    "wasm/thread",
    "wasm/jco",
    "edge",
    "backends/unsafe",
    "backends/docker",
    "backends/containerd",
    "backends/gvisor",
  ],
  "adapters/remote": portable,
  "adapters/trust": [...portable, "edge"],
  "edge/worker": [...portable, "edge", "wasm", "adapters/remote", "adapters/trust"],
  cli: [...node, "wasm", "wasm/process", "wasm/jco", "edge", "backends/unsafe", "adapters/executor", "adapters/trust", "conformance"],
};

/** The packages that the root files may use: zod, one JSON Schema validator that needs no `eval`, one for near names. */
const rootPackages: ReadonlySet<string> = new Set([
  "zod/mini",
  "zod/v4/core",
  "zod/v4/locales",
  "@cfworker/json-schema",
  "fastest-levenshtein",
]);

/** Parts that may use Node. Files with `node` in their name are Node's own entry of a portable part. */
const nodeParts: ReadonlySet<string> = new Set([
  "internal/node",
  "wasm/process",
  "wasm/thread",
  "wasm/jco",
  "backends/unsafe",
  "backends/oci",
  "backends/docker",
  "backends/containerd",
  "backends/gvisor",
  "adapters/executor",
  "cli",
]);

function isNodeFile(path: string): boolean {
  return nodeParts.has(partOf(path)) || /(?:^|\/)node(?:-[a-z-]+)?(?:\.ts$|\/)/.test(path);
}

const imports = readImports();
const inner = imports.filter(({ to }) => to.endsWith(".ts"));

describe("the import rules of ARCHITECTURE.md", () => {
  it("finds the imports that it judges", () => {
    expect(inner.length).toBeGreaterThan(100);
    expect(inner).toContainEqual({ from: "router.ts", to: "errors.ts" });
  });

  it("holds for every file", () => {
    const broken = inner.filter(({ from, to }) => partOf(from) !== partOf(to) && rules[partOf(from)]?.includes(partOf(to)) !== true);
    expect(broken).toEqual([]);
  });

  it("lets only Node's parts use Node", () => {
    const broken = imports.filter(
      ({ from, to }) => !isNodeFile(from) && (to.startsWith("node:") || (to.endsWith(".ts") && isNodeFile(to))),
    );
    expect(broken).toEqual([]);
  });

  it("keeps the rewriter of modules to itself and the reader of their format", () => {
    const meter = imports.filter(({ from }) => from.startsWith("wasm/meter/"));
    const readers = new Set(["wasm/binary.ts", "wasm/types.ts"]);
    expect(meter.length).toBeGreaterThan(20);
    expect(meter.filter(({ to }) => !to.startsWith("wasm/meter/") && !readers.has(to))).toEqual([]);
  });

  it("keeps the root to few packages", () => {
    const outer = imports.filter(({ from, to }) => portable.includes(partOf(from)) && !to.endsWith(".ts") && !to.startsWith("node:"));
    expect(outer.filter(({ to }) => !rootPackages.has(to))).toEqual([]);
  });
});
