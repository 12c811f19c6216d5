import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { errorCodes, limitNames, profiles, securityProfiles } from "../../src/index.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

describe("docs/errors.md", () => {
  const headings = [...read("docs/errors.md").matchAll(/^## `?(ERR_[A-Z_]+)`?$/gm)].map((match) => match[1] ?? "");

  it("has a heading for each code and no other, in order", () => {
    expect(headings).toEqual(Object.keys(errorCodes));
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
});
