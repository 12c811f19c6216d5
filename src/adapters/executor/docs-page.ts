import { hash } from "node:crypto";
import { Hono } from "hono";
import { html, raw } from "hono/html";
import type { Mount } from "../../edge/index.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = { readonly [key: string]: Json };

const style = `
:root{color-scheme:light dark;--line:color-mix(in srgb,currentColor 18%,transparent)}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}section{border-top:1px solid var(--line);padding:1rem 0}
h3{font:600 1rem ui-monospace,monospace;margin:0}h3 b{display:inline-block;min-width:4.5rem}
table{border-collapse:collapse;width:100%}td{border-top:1px solid var(--line);padding:.25rem .75rem .25rem 0;vertical-align:top}
td:first-child{font-family:ui-monospace,monospace;white-space:nowrap}
pre{overflow:auto;border:1px solid var(--line);padding:.75rem;font-size:.85rem;max-height:24rem}summary{cursor:pointer}
`;

/** In one piece: a formatter that moved white space into the element would change its hash. */
const styleElement = `<style>${style}</style>`;

/** The page runs nothing and loads nothing: only its own style, by its hash. */
const policy = `default-src 'none'; style-src 'sha256-${hash("sha256", style, "base64")}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`;

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function members(value: Json | undefined): readonly (readonly [string, Json])[] {
  return isObject(value) ? Object.entries(value) : [];
}

function text(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

/** `$ref`s inside of a schema, as links to where the schemas stand. */
function references(value: Json | undefined): string[] {
  return [...new Set([...JSON.stringify(value ?? null).matchAll(/#\/components\/schemas\/([^"]+)/g)].map(([, name]) => name ?? ""))];
}

function links(value: Json | undefined) {
  return references(value).map((name) => html`<a href="#${name}">${name}</a> `);
}

function operationOf(path: string, method: string, operation: JsonObject) {
  const parameters = Array.isArray(operation["parameters"]) ? (operation["parameters"] as readonly Json[]).filter(isObject) : [];
  return html`<section id="${text(operation["operationId"])}">
    <h3><b>${method.toUpperCase()}</b> ${path}</h3>
    <p>${text(operation["summary"])}. ${text(operation["description"])}</p>
    <table>
      ${parameters.map(
        (one) =>
          html`<tr>
            <td>${text(one["name"])}</td>
            <td>${text(one["in"])}</td>
            <td>${text(one["description"])}</td>
          </tr>`,
      )}
      ${
        operation["requestBody"] === undefined
          ? ""
          : html`<tr>
              <td>body</td>
              <td></td>
              <td>${links(operation["requestBody"])}</td>
            </tr>`
      }
      ${members(operation["responses"]).map(
        ([status, response]) =>
          html`<tr>
            <td>${status}</td>
            <td></td>
            <td>${isObject(response) ? text(response["description"]) : ""} ${links(response)}</td>
          </tr>`,
      )}
    </table>
  </section>`;
}

/** The OpenAPI document as a page that needs no script. What comes from the document is escaped. */
export function renderDocs(document: JsonObject): string {
  const info = isObject(document["info"]) ? document["info"] : {};
  const operations = members(document["paths"]).flatMap(([path, methods]) =>
    members(methods).flatMap(([method, operation]) => (isObject(operation) ? [operationOf(path, method, operation)] : [])),
  );
  const components = isObject(document["components"]) ? document["components"] : {};
  const schemas = members(components["schemas"]).map(
    ([name, schema]) =>
      html`<section id="${name}">
        <h3>${name}</h3>
        <details>
          <summary>${isObject(schema) ? text(schema["description"]) || "Schema" : "Schema"}</summary>
          <pre>${JSON.stringify(schema, null, 2)}</pre>
        </details>
      </section>`,
  );
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${text(info["title"])} API</title>
        ${raw(styleElement)}
      </head>
      <body>
        <h1>${text(info["title"])} API</h1>
        <p>${text(info["description"])} Version ${text(info["version"])}; <a href="/openapi.json">OpenAPI 3.1</a>.</p>
        ${operations}
        <h2>Schemas</h2>
        ${schemas}
      </body>
    </html>`;
  return String(page);
}

/** `GET /docs`: a page to read the API. The document is asked for when the page first is. */
export function docsPage(document: () => Promise<JsonObject>): Mount {
  const app = new Hono();
  let page: Promise<string> | undefined;
  app.get("/", async () => {
    page ??= document().then(renderDocs);
    return new Response(await page, {
      headers: {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
      },
    });
  });
  return { path: "/docs", app, access: "public" };
}
