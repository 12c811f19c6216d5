// HTML to readable plain text: a WASI 0.2 component without imports.

import { htmlToText, wrap } from "./render.js";

const maxHtmlLength = 512 * 1024;
const keys = ["html", "wordWrap", "links", "images"];

/** What is thrown is the error of the `result`: one line for the caller. */
function parse(text) {
  let input;
  try {
    input = JSON.parse(text);
  } catch {
    throw "html-to-text: Cannot read the input: it is not JSON";
  }
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw "html-to-text: Cannot read the input: it is not an object";
  }
  const unknown = Object.keys(input).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw `html-to-text: Cannot use ${JSON.stringify(unknown)}: the fields are ${keys.join(", ")}`;
  const { html, wordWrap = 0, links = true, images = false } = input;
  if (typeof html !== "string" || html.length > maxHtmlLength) {
    throw `html-to-text: Cannot use "html": it must be a text of at most ${maxHtmlLength} characters`;
  }
  if (!Number.isInteger(wordWrap) || wordWrap < 0 || wordWrap > 1000 || (wordWrap > 0 && wordWrap < 20)) {
    throw 'html-to-text: Cannot use "wordWrap": it must be 0 for none, or from 20 to 1000';
  }
  if (typeof links !== "boolean" || typeof images !== "boolean") {
    throw 'html-to-text: Cannot use "links" or "images": it must be true or false';
  }
  return { html, wordWrap, links, images };
}

export function run(text) {
  const { html, wordWrap, links, images } = parse(text);
  const answer = htmlToText(html, { links, images });
  return JSON.stringify({ text: wordWrap === 0 ? answer : wrap(answer, wordWrap) });
}
