import {
  findNodeAtLocation,
  getNodeValue,
  parseTree,
  printParseErrorCode,
  type Node,
  type ParseError,
  type ParseErrorCode,
} from "jsonc-parser";
import { configError } from "./errors.ts";

/** A configuration as somebody wrote it. */
export interface ConfigDocument {
  readonly value: unknown;
  /** Where the value at a path stands, or what comes nearest to it: `toolruntime.json:12:5`. */
  locate(path: readonly PropertyKey[]): string;
}

const sentences: { readonly [C in ReturnType<typeof printParseErrorCode>]?: string } = {
  ValueExpected: "a value is missing",
  PropertyNameExpected: "a key in double quotes is missing",
  ColonExpected: "a colon is missing",
  CommaExpected: "a comma is missing",
  CloseBraceExpected: "a closing brace is missing",
  CloseBracketExpected: "a closing bracket is missing",
  EndOfFileExpected: "there is more after its end",
  UnexpectedEndOfComment: "a comment has no end",
  UnexpectedEndOfString: "a string has no end",
  UnexpectedEndOfNumber: "a number is cut off",
  InvalidUnicode: "a string has a broken \\u escape",
  InvalidEscapeCharacter: "a string has an escape that JSON does not know",
  InvalidCharacter: "a string has a control character",
};

function sentenceOf(code: ParseErrorCode): string {
  return sentences[printParseErrorCode(code)] ?? "it has what JSON does not know";
}

/**
 * Reads JSON that people write: with comments and trailing commas, and otherwise as strict as JSON is. A key that stands
 * twice is refused, and so is `__proto__`.
 *
 * @throws `ERR_CONFIG_INVALID`, with line and column.
 */
export function parseDocument(text: string, file: string): ConfigDocument {
  const content = text.startsWith("\ufeff") ? text.slice(1) : text;
  const at = (offset: number): string => {
    const before = content.slice(0, offset);
    return `${file}:${before.split("\n").length}:${offset - before.lastIndexOf("\n")}`;
  };
  const errors: ParseError[] = [];
  const root = parseTree(content, errors, { allowTrailingComma: true });
  const [first] = errors;
  if (first !== undefined) throw configError(at(first.offset), `it is not JSON: ${sentenceOf(first.error)}`);
  if (root === undefined) throw configError(at(0), "it is not JSON: it is empty");
  checkKeys(root, at);
  return { value: getNodeValue(root), locate: (path) => at(nearestNode(root, path).offset) };
}

/** The readers of JSON take the last of two equal keys; whoever wrote both meant something by the first. */
function checkKeys(node: Node, at: (offset: number) => string): void {
  const seen = new Set<string>();
  for (const child of node.children ?? []) {
    const [key] = node.type === "object" ? (child.children ?? []) : [];
    if (key !== undefined) {
      const name = String(key.value);
      if (seen.has(name)) throw configError(at(key.offset), `the key ${JSON.stringify(name)} stands twice`);
      if (name === "__proto__") throw configError(at(key.offset), `unknown key "__proto__"`);
      seen.add(name);
    }
    checkKeys(child, at);
  }
}

/** A member's key, else the value itself, else what it is missing in. */
function nearestNode(root: Node, path: readonly PropertyKey[]): Node {
  for (let length = path.length; length > 0; length--) {
    const found = findNodeAtLocation(root, path.slice(0, length).map(stepOf));
    if (found !== undefined) return found.parent?.type === "property" ? found.parent : found;
  }
  return root;
}

function stepOf(step: PropertyKey): string | number {
  return typeof step === "number" ? step : String(step);
}
