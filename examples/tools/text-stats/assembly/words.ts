// Words and sentences of a text, found by code points.

/** Words are runs of letters and digits, with apostrophes and hyphens inside, and a number's
 *  points and commas. An ideograph is a word of its own. */
const enum Kind {
  Other,
  Letter,
  Ideograph,
  Joiner,
  SentenceEnd,
}

export class Counts {
  characters: i32 = 0;
  words: i32 = 0;
  sentences: i32 = 0;
  paragraphs: i32 = 0;
  terms: Map<string, i32> = new Map();
}

export function count(text: string, skipped: Set<string>): Counts {
  const counts = new Counts();
  const length = text.length;
  let openWords = 0; // words of the sentence that has not ended
  let lineEnds = 2; // a paragraph starts at the text's start and after two line ends
  let i = 0;
  while (i < length) {
    const point = text.codePointAt(i);
    const size = point > 0xffff ? 2 : 1;
    counts.characters++;
    if (point == 0x0a) {
      lineEnds++;
    } else if (!isSpace(point)) {
      if (lineEnds >= 2) counts.paragraphs++;
      lineEnds = 0;
    }
    const kind = kindOf(point);
    if (kind == Kind.Letter) {
      const end = wordEnd(text, i);
      counts.characters += characters(text, i + size, end);
      addTerm(counts, text.substring(i, end), skipped);
      openWords++;
      i = end;
      continue;
    }
    if (kind == Kind.Ideograph) {
      addTerm(counts, text.substring(i, i + size), skipped);
      openWords++;
    } else if (kind == Kind.SentenceEnd && openWords > 0 && endsSentence(text, i + size, point)) {
      counts.sentences++;
      openWords = 0;
    }
    i += size;
  }
  if (openWords > 0) counts.sentences++;
  return counts;
}

/** "3.14" and "example.org" go on; so the mark must be followed by space, a closing mark or the end. */
function endsSentence(text: string, next: i32, mark: i32): bool {
  if (mark > 0x7f || next >= text.length) return true;
  const point = text.codePointAt(next);
  return isSpace(point) || (kindOf(point) != Kind.Letter && point != 0x2f && point != 0x2d);
}

function wordEnd(text: string, start: i32): i32 {
  let end = start;
  let i = start;
  while (i < text.length) {
    const point = text.codePointAt(i);
    const kind = kindOf(point);
    i += point > 0xffff ? 2 : 1;
    if (kind == Kind.Letter) end = i;
    else if (end != i - 1 || (kind != Kind.Joiner && !isInNumber(text, end))) break;
  }
  return end;
}

/** Whether the point or comma at `at` stands between two digits. */
function isInNumber(text: string, at: i32): bool {
  const mark = text.charCodeAt(at);
  return (mark == 0x2e || mark == 0x2c) && at > 0 && isDigit(text.charCodeAt(at - 1)) && isDigit(text.charCodeAt(at + 1));
}

/** False beyond the end, where charCodeAt answers -1. */
function isDigit(unit: i32): bool {
  return unit >= 0x30 && unit <= 0x39;
}

function characters(text: string, from: i32, to: i32): i32 {
  let count = 0;
  for (let i = from; i < to; i++) {
    // The second half of a surrogate pair belongs to the first.
    if ((text.charCodeAt(i) & 0xfc00) != 0xdc00) count++;
  }
  return count;
}

function addTerm(counts: Counts, word: string, skipped: Set<string>): void {
  counts.words++;
  const term = word.toLowerCase();
  if (skipped.has(term)) return;
  counts.terms.set(term, (counts.terms.has(term) ? counts.terms.get(term) : 0) + 1);
}

function isSpace(point: i32): bool {
  return point == 0x20 || (point >= 0x09 && point <= 0x0d) || point == 0x85 || point == 0xa0 || point == 0x1680 ||
    (point >= 0x2000 && point <= 0x200a) || point == 0x2028 || point == 0x2029 || point == 0x202f || point == 0x205f || point == 0x3000;
}

/** Blocks of The Unicode Standard; good enough for counting, and no table of 30 KB. */
function kindOf(point: i32): Kind {
  if (point < 0x80) {
    const lower = point | 0x20;
    if ((lower >= 0x61 && lower <= 0x7a) || (point >= 0x30 && point <= 0x39)) return Kind.Letter;
    if (point == 0x27 || point == 0x2d) return Kind.Joiner;
    return point == 0x2e || point == 0x21 || point == 0x3f ? Kind.SentenceEnd : Kind.Other;
  }
  if (point == 0x2019 || point == 0x2010 || point == 0x2011) return Kind.Joiner;
  if (point == 0x2026 || point == 0x3002 || point == 0xff01 || point == 0xff1f || point == 0x061f || point == 0x0964) return Kind.SentenceEnd;
  if (point < 0xc0) return point == 0xaa || point == 0xb5 || point == 0xba ? Kind.Letter : Kind.Other;
  if (point == 0xd7 || point == 0xf7) return Kind.Other;
  // General punctuation, currency, arrows, mathematics, boxes, dingbats; CJK punctuation; private use; variation selectors.
  if (point >= 0x2000 && point <= 0x2bff) return Kind.Other;
  if (point >= 0x3000 && point <= 0x303f) return Kind.Other;
  if (point >= 0xd800 && point <= 0xf8ff) return Kind.Other;
  if ((point >= 0xfe00 && point <= 0xfe0f) || (point >= 0xfe30 && point <= 0xfe6f)) return Kind.Other;
  if ((point >= 0xff00 && point <= 0xff0f) || (point >= 0xff1a && point <= 0xff20) || point >= 0xfff0 && point <= 0xffff) return Kind.Other;
  if ((point >= 0x3400 && point <= 0x9fff) || (point >= 0xf900 && point <= 0xfaff) || (point >= 0x20000 && point <= 0x3ffff)) return Kind.Ideograph;
  // Emoji and other pictures; tags and private planes.
  if ((point >= 0x1f000 && point <= 0x1fbff) || point >= 0xe0000) return Kind.Other;
  return Kind.Letter;
}
