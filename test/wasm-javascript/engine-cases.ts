import type { Task } from "../../src/index.ts";

/** What each engine runs. */
export interface EngineCase extends Omit<Task, "tool"> {
  readonly source: string;
}

const memory = "32Mi";
const fuel = 2_000_000_000;

/** Run deterministically on every engine: the same output, fuel and end. */
export const engineCases: Readonly<Record<string, EngineCase>> = {
  numbers: {
    source:
      "export default () => { const all = []; for (let i = 0; i < 300; i++) all.push(Math.random(), Math.sin(i) / (i - 7), 0.1 * i); return all; };",
  },
  "clocks and zones": {
    source:
      "export default () => [Date.now(), new Date().getTimezoneOffset(), String(new Date(2026, 6, 1)), new Date(0).toLocaleString()];",
  },
  texts: {
    source:
      "export default ({ t }) => [t.normalize('NFD'), t.toUpperCase(), [...t].length, t.replace(/(\\p{L})(.)/gu, '$2$1'), encodeURIComponent(t)];",
    input: { t: "Äpfel, 😀 und Ωμέγα" },
  },
  regexps: {
    source: "export default ({ t }) => [...t.matchAll(/(?<word>\\w+)(?=\\s|$)/g)].map((m) => m.groups.word);",
    input: { t: "one two  three" },
  },
  sorting: {
    source:
      "export default () => Array.from({ length: 2000 }, (_, i) => ({ k: (i * 7919) % 1009, i })).sort((a, b) => a.k - b.k || a.i - b.i).map((o) => o.i);",
  },
  promises: {
    source:
      "export default async () => { const all = []; await Promise.all([1, 2, 3].map(async (n) => { for (let i = 0; i < n; i++) await null; all.push(n); })); return all; };",
  },
  logs: { source: "export default () => { for (let i = 0; i < 200; i++) console.log('line', i, { i }); return 'done'; };" },
  "big integers": { source: "export default () => String(2n ** 4096n % 1000000007n) + (123456789n ** 40n).toString(36);" },
  "typed arrays": {
    source: "export default () => { const f = new Float32Array(64).map((_, i) => i / 3); return [...new Uint8Array(f.buffer)]; };",
  },
  "an error": { source: "const inner = () => { throw new TypeError('bad'); };\nexport default () => inner();" },
  "a syntax error": { source: "export default () => {\n  return 1 +;\n};" },
  "a promise that never settles": { source: "export default () => new Promise(() => {});" },
  "a recursion that is caught": {
    source: "export default () => { let n = 0; const f = () => { n++; f(); }; try { f(); } catch (e) { return [n, String(e)]; } };",
  },
  "a recursion of the parser": { source: "export default () => JSON.parse('['.repeat(100000));" },
  "memory that ends": {
    source:
      "export default () => { const all = []; try { for (;;) all.push('x'.repeat(1000 + all.length)); } catch (e) { const n = all.length; all.length = 0; return [n, String(e)]; } };",
    resources: { memory, fuel },
  },
  "fuel that ends": {
    source: "export default () => { for (let i = 0; ; i++) if (i % 1000 === 0) console.log(i); };",
    resources: { fuel: 300_000_000 },
  },
  variables: { source: "export default (input, { env }) => ({ input, env });", input: [1, { a: null }], env: { GREETING: "hällo" } },
};

/** Ended by their wall deadline while the event loop goes on. */
export const endlessCases: Readonly<Record<string, string>> = {
  loop: "export default () => { for (;;); }",
  regexp: "export default () => /^(a+)+$/.test('a'.repeat(40) + 'b')",
  promises: "export default async () => { for (;;) await null; }",
  sorting: "export default () => { for (;;) Array.from({ length: 5000 }, (_, i) => -i).sort((a, b) => a - b); }",
};
