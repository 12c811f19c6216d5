// Counts of a text, its reading time and its most frequent terms: an Extism plug-in.

import { Host } from "@extism/as-pdk";
import { error_set } from "@extism/as-pdk/lib/env";
import { Memory } from "@extism/as-pdk/lib/pdk";
import { JsonReader } from "../../shared/assembly/json";
import "./abort";
import { stopWords } from "./stop-words";
import { count, Counts } from "./words";

const MAX_INPUT_BYTES: i32 = 2 << 20;

class Input {
  text: Uint8Array | null = null;
  top: i32 = 10;
  wordsPerMinute: i32 = 238;
  stopWords: string = "en";
}

class Term {
  constructor(readonly text: string, readonly count: i32) {}
}

function parse(bytes: Uint8Array, input: Input): string {
  const reader = new JsonReader(bytes);
  if (!reader.openObject()) return reader.problem;
  while (true) {
    const name = reader.nextField();
    if (name == null) break;
    if (name == "text" && input.text == null) input.text = reader.readString();
    else if (name == "top") input.top = reader.readInteger(0, 100);
    else if (name == "wordsPerMinute") input.wordsPerMinute = reader.readInteger(1, 2000);
    else if (name == "stopWords") input.stopWords = String.UTF8.decode(reader.readString().buffer);
    else reader.fail("the fields are text, top, wordsPerMinute and stopWords");
  }
  reader.finish();
  if (input.text == null) reader.fail("\"text\" is missing");
  return reader.problem;
}

function topTerms(terms: Map<string, i32>, limit: i32): Term[] {
  const all: Term[] = [];
  const names = terms.keys();
  for (let i = 0; i < names.length; i++) all.push(new Term(names[i], terms.get(names[i])));
  // By frequency, then by name, so that equal counts always come in the same order.
  all.sort((a, b) => (a.count != b.count ? b.count - a.count : a.text < b.text ? -1 : 1));
  return all.slice(0, limit);
}

/** Terms hold letters, digits, apostrophes, hyphens, points and commas only: nothing in them needs JSON's escapes. */
function answer(counts: Counts, input: Input): string {
  const seconds = (<i64>counts.words * 60 + input.wordsPerMinute - 1) / input.wordsPerMinute;
  const terms = topTerms(counts.terms, input.top);
  let list = "";
  for (let i = 0; i < terms.length; i++) list += (i > 0 ? "," : "") + "{\"term\":\"" + terms[i].text + "\",\"count\":" + terms[i].count.toString() + "}";
  return (
    "{\"characters\":" + counts.characters.toString() +
    ",\"words\":" + counts.words.toString() +
    ",\"sentences\":" + counts.sentences.toString() +
    ",\"paragraphs\":" + counts.paragraphs.toString() +
    ",\"readingSeconds\":" + seconds.toString() +
    ",\"topTerms\":[" + list + "]}"
  );
}

function fail(problem: string): i32 {
  error_set(Memory.allocateString("text-stats: Cannot read the input: " + problem).offset);
  return 1;
}

export function text_stats(): i32 {
  const bytes = Host.input();
  if (bytes.length > MAX_INPUT_BYTES) return fail("it is larger than " + MAX_INPUT_BYTES.toString() + " bytes");
  const input = new Input();
  const problem = parse(bytes, input);
  if (problem.length > 0) return fail(problem);
  const skipped = stopWords(input.stopWords);
  if (skipped == null) return fail("\"stopWords\" must be en or none");
  const text = input.text;
  if (text == null) return fail("\"text\" is missing");

  const counts = count(String.UTF8.decode(text.buffer), skipped);
  // Host.outputString counts UTF-16 units where it writes UTF-8 bytes.
  Host.output(Uint8Array.wrap(String.UTF8.encode(answer(counts, input))));
  return 0;
}
