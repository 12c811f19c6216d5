import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { backendsPage, declaredBackends } from "../../scripts/backends-doc.ts";
import { backendNames, configSchema } from "../../src/adapters/executor/index.ts";
import { nativeCases } from "../../src/conformance/index.ts";
import { statusOf } from "../../src/edge/index.ts";
import { errorCodes, limitNames, profiles, securityProfiles, type ErrorCode } from "../../src/index.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

function isCode(name: string): name is ErrorCode {
  return Object.hasOwn(errorCodes, name);
}

describe("docs/errors.md", () => {
  const sections = read("docs/errors.md").split(/^## /m).slice(1);
  const nameOf = (section: string): string => /^`?(\w+)/.exec(section)?.[1] ?? "";

  it("has a heading for each code and no other, in order", () => {
    expect(sections.map(nameOf)).toEqual(Object.keys(errorCodes));
  });

  it("says who has to act and which status HTTP has", () => {
    for (const section of sections) {
      const code = nameOf(section);
      if (!isCode(code)) throw new Error(`there is no code ${code}`);
      const said = [/Actor:\s+(\w+)\./.exec(section)?.[1], /HTTP\s+(\d{3})\./.exec(section)?.[1]];
      expect([code, ...said]).toEqual([code, errorCodes[code].actor, String(statusOf(code))]);
    }
  });
});

describe("docs/limits.md", () => {
  it("says the defaults that the profiles have", () => {
    const text = read("docs/limits.md");
    for (const name of securityProfiles) {
      const { timeout = 0, memory = 0, output = 0, processes = 0, disk = 0 } = profiles[name].defaults;
      const size = (bytes: number): string =>
        bytes >= 2 ** 30 ? `${bytes / 2 ** 30} GiB` : bytes >= 2 ** 20 ? `${bytes / 2 ** 20} MiB` : `${bytes / 2 ** 10} KiB`;
      const row = `| ${name} | ${timeout / 1000} s | ${size(memory)} | ${size(output)} | ${processes} | ${size(disk)} | ${profiles[name].graceMs / 1000} s |`;
      expect(text).toContain(row);
    }
    for (const limit of limitNames) expect(text).toContain(`\`${limit}\``);
  });
});

describe("docs/backends.md", () => {
  const page = read("docs/backends.md");

  // Elsewhere the backend for host commands declares nothing to compare with.
  it.skipIf(process.platform !== "linux")('is what "npm run docs" writes', async () => {
    expect(page).toBe(backendsPage(await declaredBackends()));
  });

  it("has a heading for each backend", () => {
    expect([...page.matchAll(/^## (.+)$/gm)].map((match) => match[1])).toEqual(backendNames);
  });

  it("has each option of the configuration", () => {
    const paths = keyPaths(z.toJSONSchema(configSchema, { io: "input" }));
    // What is behind executor nodes has a page of its own.
    const options = paths.flatMap((path) => /^backends\.(?!remote\.)\w+\.(.+)$/.exec(path)?.[1] ?? []);
    expect(options).toContain("components.cacheFolder");
    expect(options.filter((option) => !page.includes(`| \`${option}\` |`))).toEqual([]);
  });
});

interface Schema {
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly items?: unknown;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null;
}

/** Every key that an object of the schema may have, as `a.b` and `list[].c`. Limits have a page of their own. */
function keyPaths(schema: unknown, at = ""): string[] {
  if (!isSchema(schema) || at === "resources" || at === "maxima") return [];
  const inner = schema.items === undefined ? [] : keyPaths(schema.items, `${at}[]`);
  const own = Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    const path = at === "" ? key : `${at}.${key}`;
    return [path, ...keyPaths(value, path)];
  });
  return [...own, ...inner];
}

describe("docs/http.md", () => {
  const page = read("docs/http.md");

  it("has each key of the configuration, and no other", () => {
    const rows = page.slice(page.indexOf("| key |")).matchAll(/^\| `([^`]+)` \|/gm);
    const documented = Array.from(rows, (match) => match[1] ?? "");
    expect(documented.toSorted()).toEqual(keyPaths(z.toJSONSchema(configSchema, { io: "input" })).toSorted());
  });

  it("shows a configuration that is taken", () => {
    const example = /## Configuration[^]*?```json\n([^]*?)```/.exec(page)?.[1] ?? "";
    expect(configSchema.safeParse(JSON.parse(example)).error).toBeUndefined();
  });
});

describe("docs/threat-model.md", () => {
  /** The ids that a row's first cell names: `A1`, and the ends and middle of `B1–B12`. */
  const idsOf = (cell: string): string[] =>
    [...cell.matchAll(/\b([A-G])(\d+)(?:–[A-G](\d+))?/g)].flatMap(([, group = "", first = "", last = first]) =>
      Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => `${group}${Number(first) + index}`),
    );

  it("says of each case of the corpus what became of it", () => {
    const rows = read("docs/threat-model.md").split("## The abuse corpus")[1] ?? "";
    const listed = new Set([...rows.matchAll(/^\| ([^|]+) \|/gm)].flatMap((match) => idsOf(match[1] ?? "")));
    const missing = nativeCases.map(({ id }) => id).filter((id) => !listed.has(id));
    const tests = readdirSync(join(root, "test/abuse")).filter((file) => file.endsWith(".test.ts"));
    const inTests = tests.flatMap((file) => [...read(`test/abuse/${file}`).matchAll(/"([A-G]\d+)[: ]/g)].map((match) => match[1] ?? ""));
    expect(inTests.length).toBeGreaterThan(30);
    expect([...missing, ...inTests.filter((id) => !listed.has(id))]).toEqual([]);
  });
});

describe("every document", () => {
  const documents = readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
    (path) => path.endsWith(".md") && !/(?:^|\/)(?:node_modules|dist|target|\.git)\//.test(path),
  );

  it("links only to files that are there", () => {
    const broken = documents.flatMap((document) =>
      [...read(document).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)/g)]
        .map((match) => match[1] ?? "")
        .filter((target) => !existsSync(join(root, dirname(document), target)))
        .map((target) => `${document}: ${target}`),
    );
    expect(documents).toContain("README.md");
    expect(broken).toEqual([]);
  });

  it("imports in its examples what the package exports", async () => {
    const { exports } = JSON.parse(read("package.json")) as { readonly exports: Readonly<Record<string, string>> };
    const wanted = documents.flatMap((document) =>
      [...read(document).matchAll(/import (?:type )?\{ ([^}]+) \} from "toolruntime(\/[^"]+)?"/g)].map((match) => ({
        document,
        names: (match[1] ?? "").split(", "),
        entry: `.${match[2] ?? ""}`,
      })),
    );
    expect(wanted.length).toBeGreaterThan(3);
    for (const { document, names, entry } of wanted) {
      const source = exports[entry]?.replace("./dist/", "src/").replace(/\.js$/, ".ts") ?? `nothing at ${entry}`;
      const module = (await import(pathToFileURL(join(root, source)).href)) as object;
      expect([document, entry, names.filter((name) => !(name in module))]).toEqual([document, entry, []]);
    }
  });
});
