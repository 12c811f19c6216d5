// Plain text from the events of an HTML parser.

import { Parser } from "htmlparser2";

const invisible = new Set([
  "script",
  "style",
  "template",
  "noscript",
  "head",
  "svg",
  "math",
  "iframe",
  "object",
  "select",
  "textarea",
  "datalist",
]);
/** Line ends that stand before and after a block at least. */
const blocks = new Map([
  ...[
    "address",
    "article",
    "aside",
    "body",
    "dd",
    "div",
    "dt",
    "fieldset",
    "figcaption",
    "footer",
    "form",
    "header",
    "li",
    "main",
    "nav",
    "section",
    "summary",
    "details",
    "tr",
    "thead",
    "tbody",
    "tfoot",
    "caption",
  ].map((name) => [name, 1]),
  ...["blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p", "pre", "table", "ul"].map((name) => [name, 2]),
]);

/** Threat: the parser looks through its open elements at each tag, which a deep document makes quadratic. */
const maxDepth = 500;
/** A link's label of more pieces than this is not compared with the link's address. */
const maxLabelParts = 20;

class Renderer {
  #parts = [];
  #breaks = 0;
  #hasSpace = false;
  #isEmpty = true;
  #isLineStart = true;
  #hidden = [];
  #lists = [];
  #links = [];
  #quotes = 0;
  #quotesBefore = 0;
  #depth = 0;
  #pre = 0;
  #marker = "";
  #cells = 0;
  #options;

  constructor(options) {
    this.#options = options;
  }

  open(name, attributes) {
    this.#depth += 1;
    if (this.#depth > maxDepth) throw `html-to-text: Cannot read the HTML: it nests more than ${maxDepth} elements`;
    if (this.#hidden.length > 0 || invisible.has(name) || "hidden" in attributes) {
      this.#hidden.push(name);
      return;
    }
    // A list in a list item starts on the next line, without a gap.
    const isNested = (name === "ul" || name === "ol") && this.#lists.length > 0;
    this.#block(name, isNested);
    if (name === "br") this.#breaks += 1;
    else if (name === "hr") this.#text("---");
    else if (name === "ul" || name === "ol") this.#lists.push({ ordered: name === "ol", next: startOf(attributes) });
    else if (name === "li") this.#marker = this.#itemMarker();
    else if (name === "blockquote") this.#quotes += 1;
    else if (name === "pre") this.#pre += 1;
    else if (name === "tr") this.#cells = 0;
    else if ((name === "td" || name === "th") && this.#cells++ > 0) this.#text(" | ");
    else if (name === "a") this.#links.push({ href: attributes.href ?? "", from: this.#parts.length });
    else if (name === "img" && this.#options.images && attributes.alt) this.#text(`[${attributes.alt}]`);
  }

  close(name) {
    this.#depth -= 1;
    if (this.#hidden.length > 0) {
      this.#hidden.pop();
      return;
    }
    if (name === "a") this.#closeLink();
    else if (name === "ul" || name === "ol") this.#lists.pop();
    else if (name === "pre") this.#pre = Math.max(0, this.#pre - 1);
    const isNested = (name === "ul" || name === "ol") && this.#lists.length > 0;
    this.#block(name, isNested);
    if (name === "li") this.#marker = "";
    if (name === "blockquote") this.#quotes = Math.max(0, this.#quotes - 1);
  }

  text(text) {
    if (this.#hidden.length === 0) this.#text(text);
  }

  end() {
    return this.#parts.join("").replace(/[ \t]+$/gm, "");
  }

  #block(name, isNested) {
    const breaks = blocks.get(name);
    if (breaks !== undefined) this.#breaks = Math.max(this.#breaks, isNested ? 1 : breaks);
  }

  #text(text) {
    const lines = this.#pre > 0 ? text.split(/\r\n|\r|\n/) : [text];
    lines.forEach((line, index) => {
      if (index > 0) this.#breaks += 1;
      if (this.#pre > 0) this.#put(line);
      else this.#putWords(line);
    });
  }

  #putWords(text) {
    // HTML's white space; a no-break space stays.
    const words = text.split(/[ \t\r\n\f]+/);
    words.forEach((word, index) => {
      if (index > 0) this.#hasSpace = true;
      if (word === "") return;
      const isApart = this.#hasSpace && this.#breaks === 0 && !this.#isLineStart;
      this.#put(isApart ? ` ${word}` : word);
    });
  }

  #put(text) {
    if (text === "") return;
    if (this.#breaks > 0 && !this.#isEmpty) {
      // More than one empty line in a row says nothing, except in preformatted text.
      const count = this.#pre > 0 ? this.#breaks : Math.min(this.#breaks, 2);
      // The gap belongs to a quotation only where it goes on.
      const gap = `\n${"> ".repeat(Math.min(this.#quotes, this.#quotesBefore))}`;
      this.#parts.push(gap.repeat(count - 1), `\n${"> ".repeat(this.#quotes)}`, this.#indent());
    } else if (this.#isEmpty) {
      this.#parts.push("> ".repeat(this.#quotes), this.#indent());
    }
    this.#quotesBefore = this.#quotes;
    this.#breaks = 0;
    this.#hasSpace = false;
    this.#isEmpty = false;
    this.#isLineStart = false;
    this.#marker = "";
    this.#parts.push(text);
  }

  #indent() {
    const depth = this.#lists.length;
    if (depth === 0) return "";
    return this.#marker === "" ? "  ".repeat(depth) : "  ".repeat(depth - 1) + this.#marker;
  }

  #itemMarker() {
    const list = this.#lists.at(-1);
    if (list === undefined || !list.ordered) return "- ";
    const marker = `${list.next}. `;
    list.next += 1;
    return marker;
  }

  #closeLink() {
    const link = this.#links.pop();
    if (link === undefined || !this.#options.links) return;
    const parts = this.#parts.length - link.from;
    const label = parts > maxLabelParts ? "…" : this.#parts.slice(link.from).join("").trim();
    // A link without a text, to a place on the same page, or one that says its own address, has nothing to add.
    if (label === "" || link.href === "" || link.href.startsWith("#") || link.href === label) return;
    this.#put(` [${link.href.replace(/\s+/g, "")}]`);
  }
}

function startOf({ start }) {
  return /^-?\d{1,9}$/.test(start ?? "") ? Number(start) : 1;
}

/** Breaks lines at spaces; a continued line keeps its quote marks and indentation. */
export function wrap(text, width) {
  const wrapLine = (line) => {
    const prefix = /^(?:> )*(?: |- |\d+\. )*/.exec(line)?.[0] ?? "";
    const next = prefix.replace(/[^> ]/g, " ");
    const lines = [];
    let current = prefix;
    let isFresh = true;
    for (const word of line.slice(prefix.length).split(" ")) {
      if (!isFresh && current.length + 1 + word.length > width) {
        lines.push(current);
        current = next + word;
      } else {
        current += (isFresh ? "" : " ") + word;
      }
      isFresh = false;
    }
    lines.push(current);
    return lines.join("\n");
  };
  return text
    .split("\n")
    .map((line) => (line.length > width ? wrapLine(line) : line))
    .join("\n");
}

export function htmlToText(html, options) {
  const renderer = new Renderer(options);
  const parser = new Parser({
    onopentag: (name, attributes) => renderer.open(name, attributes),
    onclosetag: (name) => renderer.close(name),
    ontext: (text) => renderer.text(text),
  });
  parser.end(html);
  return renderer.end();
}
