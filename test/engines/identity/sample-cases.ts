import type { Random } from "./random.ts";
import { fixture, type Sample } from "./tools.ts";

export interface Fixtures {
  readonly shop: Uint8Array;
  readonly landscape: Uint8Array;
  readonly turned: Uint8Array;
  readonly logo: Uint8Array;
}

export async function readFixtures(): Promise<Fixtures> {
  const [shop, landscape, turned, logo] = await Promise.all([
    fixture("sqlite-query", "shop.db"),
    fixture("image-thumbnail", "landscape.jpg"),
    fixture("image-thumbnail", "turned.jpg"),
    fixture("image-thumbnail", "logo.png"),
  ]);
  return { shop, landscape, turned, logo };
}

interface SampleInput {
  readonly input: unknown;
  readonly files?: Readonly<Record<string, Uint8Array>>;
}

type Maker = (random: Random, fixtures: Fixtures) => SampleInput;

const algorithms = ["sha256", "sha512", "sha1", "md5", "crc32"];

const hash: Maker = (random) => {
  const some = [...new Set(random.times(4, () => random.pick(algorithms)).concat("sha256"))];
  const bytes = random.bytes(random.pick([0, 1, 55, 64, 127, 129, random.below(5000), random.below(100_000)]));
  return random.pick<() => SampleInput>([
    () => ({ input: { text: random.text(200), algorithms: some } }),
    () => ({ input: { text: Buffer.from(bytes).toString("base64"), encoding: "base64", algorithms: some } }),
    () => ({ input: { text: Buffer.from(bytes).toString("hex"), encoding: "hex", algorithms: some } }),
    () => ({ input: { file: "a/b c/é.bin", algorithms: some }, files: { "a/b c/é.bin": bytes } }),
    () => ({ input: { text: "not base64!", encoding: "base64" } }),
    () => ({ input: { text: 5 } }),
  ])();
};

/** Quotes a field where it must be. */
function field(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csv: Maker = (random) => {
  const columns = ["name", "amount", "region"];
  const rows = random.times(60, () => [random.word(), String(random.number()), random.pick(["north", "south", ""])].map(field).join(","));
  const text = `${[columns.join(","), ...rows].join("\n")}\n`;
  const aggregates = random.times(3, (index) => ({ op: random.pick(["sum", "avg", "min", "max"]), column: "amount", as: `a${index}` }));
  return random.pick<() => SampleInput>([
    () => ({ input: { csv: text, limit: 1 + random.below(40) } }),
    () => ({ input: { csv: text, numbers: false, header: false } }),
    () => ({ input: { csv: text, groupBy: ["region"], aggregates: [{ op: "count" }, ...aggregates] } }),
    () => ({ input: { file: "in.csv", groupBy: ["region", "name"] }, files: { "in.csv": Buffer.from(text) } }),
    () => ({ input: { csv: text, groupBy: ["nowhere"] } }),
    () => ({ input: { csv: `${text}too,many,fields,here\n` } }),
  ])();
};

const expressions = [
  "@", "length(@)", "keys(@)", "values(@)", "*.key0", "[].key1", "to_string(@)", "[?key0 > `1`].key1", "sort_by(@, &key0)", "type(@)",
  "{a: key0, b: key1[0]}", "key0 || key1", "max(@)", "join(`,`, @)", "a[", "nowhere(@)", "[0:3:1]", "reverse(@)", "sum(@)", "avg(@)",
]; // oxfmt-ignore

const query: Maker = (random) => {
  const expression = random.pick(expressions);
  const data = random.chance(3) ? random.times(20, () => random.number()) : random.json(4);
  if (random.chance(4)) return { input: { expression, file: "d.json" }, files: { "d.json": Buffer.from(JSON.stringify(data)) } };
  return { input: { expression, data } };
};

const markdown: Maker = (random) => ({
  input: {
    markdown: random
      .times(20, () => random.pick(["# ", "> ", "- ", "1. ", "    ", "", "", "| a | b |\n|---|---|\n| "]) + random.text(8))
      .join("\n"),
    smartPunctuation: random.chance(2),
    unsafeRawHtml: random.chance(3),
  },
});

const statements = [
  "SELECT * FROM customer ORDER BY 1",
  "SELECT name, total FROM spending WHERE total > :least ORDER BY total DESC",
  "SELECT item, cents * 1.1, cents / 3.0 FROM purchase ORDER BY id LIMIT 7",
  "SELECT sum(cents), avg(cents), max(item), count(*), group_concat(item) FROM purchase",
  "SELECT printf('%.17g', :least / 7.0), hex(:least), typeof(:least), upper('äé'), length('日本語')",
  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT sum(i * i), max(i) FROM n",
  "SELECT strftime('%Y-%m-%d %H:%M', 'now'), random() IS NOT NULL, abs(random()) % 1000",
  "DELETE FROM purchase",
  "SELECT broken FROM nowhere",
  "SELECT x'00ff10', 1e999, NULL, 9223372036854775807, 0.1 + 0.2",
];

const sqlite: Maker = (random, { shop }) => {
  const sql = random.pick(statements);
  const parameters = sql.includes(":least") ? { parameters: { least: random.number() } } : {};
  // Some databases are damaged: the answer is SQLite's error, and the same one everywhere.
  const damaged = Uint8Array.from(shop);
  for (let hits = random.chance(3) ? 8 : 0; hits > 0; hits--) damaged[random.below(damaged.length)] = random.below(256);
  return { input: { database: "shop.db", sql, ...parameters }, files: { "shop.db": damaged } };
};

const diff: Maker = (random) => {
  const lines = random.times(60, () => random.word());
  const after = lines.flatMap((line) => (random.chance(6) ? [] : random.chance(6) ? [random.word(), line] : [line]));
  return { input: { before: lines.join("\n"), after: after.join("\n"), context: random.below(5) } };
};

const stats: Maker = (random) => ({
  input: { text: random.text(300), top: random.below(12), stopWords: random.pick(["en", "none"]), wordsPerMinute: 1 + random.below(400) },
});

const thumbnail: Maker = (random, { landscape, turned, logo }) => {
  const image = Uint8Array.from(random.pick([landscape, turned, logo]));
  for (let hits = random.chance(2) ? 6 : 0; hits > 0; hits--) image[random.below(image.length)] = random.below(256);
  const size = { width: 1 + random.below(90), height: 1 + random.below(90) };
  const format = random.chance(2) ? { format: "jpg", quality: 1 + random.below(100) } : {};
  return { input: { file: "image", ...size, ...format }, files: { image } };
};

const tags = ["p", "h1", "li", "blockquote", "td", "b", "script", "style", "pre", "made-up"];

const html: Maker = (random) => {
  const inner = random.times(15, () => {
    const tag = random.pick(tags);
    return random.chance(6) ? `<${tag} ${random.text(3)}` : `<${tag}>${random.text(6)}</${tag}>`;
  });
  const link = `<a href="https://example.org/${random.below(100)}">${random.word()}</a><img alt="${random.below(9)}">`;
  return { input: { html: inner.join("") + link, links: random.chance(2), images: random.chance(2), wordWrap: random.pick([0, 20, 72]) } };
};

const template: Maker = (random) => {
  const parts = [
    "{{a}}",
    "{{b.c}}",
    "{{#list}}<{{.}}>{{/list}}",
    "{{^list}}none{{/list}}",
    "{{! a comment }}",
    "{{missing}}",
    "{{#a}}",
    "{{/a}}",
  ];
  const text = random.times(8, () => random.pick(parts) + random.word()).join("");
  const data = { a: random.json(1), b: { c: random.number() }, list: random.times(5, () => random.word()) };
  return { input: { template: text, data, escape: random.pick(["none", "html", "json", "url"]) } };
};

export const sampleMakers: Readonly<Record<Sample, Maker>> = {
  hash,
  "csv-aggregate": csv,
  "json-query": query,
  "markdown-to-html": markdown,
  "sqlite-query": sqlite,
  "text-diff": diff,
  "text-stats": stats,
  "image-thumbnail": thumbnail,
  "html-to-text": html,
  "text-template": template,
};
