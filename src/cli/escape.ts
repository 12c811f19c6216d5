/**
 * What a terminal would obey or show as something else: C0 and C1 controls, DEL, the line and paragraph separators, and
 * the marks that turn the direction of text (https://trojansource.codes). Tab and line feed are left out of it.
 */
const unsafeCharacters =
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\p{Surrogate}/gu;

function codeOf(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

/** Makes text of strangers harmless on a terminal; its lines stay lines. */
export function escapeText(text: string): string {
  return text.replace(unsafeCharacters, codeOf);
}

/** The same in one line: a tool's name or an error cannot pass itself off as a line of ours. */
export function escapeLine(text: string): string {
  return escapeText(text).replaceAll("\n", "\\n").replaceAll("\t", "\\t");
}

/** JSON of the same value without any character that a terminal would obey. */
export function escapeJson(json: string): string {
  return json.replace(unsafeCharacters, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
