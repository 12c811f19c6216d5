/*
 * Fills a template: {{path.to.value}}, {{#section}}…{{/section}} for lists, objects and what is true, {{^section}}…{{/section}}
 * for what is not, {{! comments }}. A path is looked for from the innermost section outwards; {{.}} is the section's own item.
 */

const escapes = {
  none: (text) => text,
  html: (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`),
  json: (text) => JSON.stringify(text).slice(1, -1),
  url: encodeURIComponent,
};

const mostSections = 32;

/** An error that says where in the template. */
function complain(template, at, what) {
  const before = template.slice(0, at).split("\n");
  throw new Error(`${what} at line ${before.length}, column ${before[before.length - 1].length + 1}`);
}

/** Reads a template as a list of texts, values and sections. */
function parse(template) {
  const tag = /\{\{\s*([#^/!]?)\s*([^{}]*?)\s*\}\}(\r?\n)?/g;
  const root = { parts: [] };
  const open = [root];
  let from = 0;
  for (const match of template.matchAll(tag)) {
    const [whole, kind, path, lineEnd = ""] = match;
    const at = match.index;
    const inner = open[open.length - 1];
    // A section's tag or a comment alone on its line leaves no empty line behind.
    const start = template.lastIndexOf("\n", at - 1) + 1;
    const isAlone = kind !== "" && lineEnd !== "" && start >= from && template.slice(start, at).trim() === "";
    inner.parts.push(template.slice(from, isAlone ? start : at));
    from = at + whole.length - (isAlone ? 0 : lineEnd.length);
    if (kind === "!") continue;
    if (path === "") complain(template, at, "a tag without a name");
    if (kind === "/") {
      if (inner.path !== path) complain(template, at, `{{/${path}}} closes no section that is open`);
      open.pop();
    } else if (kind === "") {
      inner.parts.push({ kind: "value", path });
    } else {
      const section = { kind: kind === "#" ? "section" : "otherwise", path, parts: [], at };
      inner.parts.push(section);
      if (open.push(section) > mostSections) complain(template, at, `more than ${mostSections} sections in each other`);
    }
  }
  const last = open[open.length - 1];
  if (last !== root) complain(template, last.at, `{{${last.kind === "section" ? "#" : "^"}${last.path}}} is not closed`);
  root.parts.push(template.slice(from));
  return root.parts;
}

/** Looks a path up, from the innermost scope outwards. Only what data has of its own is found. */
function find(path, scopes) {
  if (path === ".") return scopes[scopes.length - 1];
  const [first, ...rest] = path.split(".");
  for (let at = scopes.length - 1; at >= 0; at--) {
    const scope = scopes[at];
    if (typeof scope !== "object" || scope === null || !Object.hasOwn(scope, first)) continue;
    return rest.reduce(
      (value, key) => (typeof value === "object" && value !== null && Object.hasOwn(value, key) ? value[key] : undefined),
      scope[first],
    );
  }
  return undefined;
}

function isEmpty(value) {
  return value === undefined || value === null || value === false || value === "" || (Array.isArray(value) && value.length === 0);
}

function textOf(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export default function run({ template, data, escape = "none" }) {
  const write = escapes[escape];
  const missing = new Set();
  let text = "";
  const render = (parts, scopes) => {
    for (const part of parts) {
      if (typeof part === "string") {
        text += part;
        continue;
      }
      const value = find(part.path, scopes);
      if (part.kind === "value") {
        if (value === undefined) missing.add(part.path);
        text += write(textOf(value));
      } else if (part.kind === "otherwise") {
        if (isEmpty(value)) render(part.parts, scopes);
      } else if (!isEmpty(value)) {
        for (const item of Array.isArray(value) ? value : [value]) render(part.parts, [...scopes, item]);
      }
    }
  };
  render(parse(template), [data]);
  return { text, missing: [...missing] };
}
