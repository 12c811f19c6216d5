import { describe, expect, it } from "vitest";
import { renderDocs } from "../../src/adapters/executor/docs-page.ts";
import { openService } from "../edge/support.ts";

describe("GET /docs", () => {
  it("shows every operation and schema, and may run and load nothing", async () => {
    const { get } = await openService();
    const response = await get("/docs");
    expect(response.status).toBe(200);
    const policy = response.headers.get("content-security-policy") ?? "";
    expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'; frame-ancestors 'none'/);
    const page = await response.text();
    const document = (await (await get("/openapi.json")).json()) as {
      paths: Record<string, object>;
      components: { schemas: Record<string, object> };
    };
    for (const path of Object.keys(document.paths)) expect(page).toContain(`</b> ${path}</h3>`);
    for (const name of Object.keys(document.components.schemas)) expect(page).toContain(`<section id="${name}">`);
    expect(page).not.toMatch(/<script|<link|<img|<iframe|\son\w+=/i);
    for (const [, target = ""] of page.matchAll(/href="#([^"]+)"/g)) expect(page).toContain(`id="${target}"`);
  });

  it("escapes what the document says", () => {
    const hostile = "<script>alert(1)</script>\"'";
    const page = renderDocs({
      info: { title: hostile, description: hostile, version: hostile },
      paths: {
        [`/${hostile}`]: {
          get: {
            operationId: hostile,
            summary: hostile,
            parameters: [{ name: hostile, in: "query" }],
            responses: { 200: { description: hostile } },
          },
        },
      },
      components: { schemas: { [hostile]: { description: hostile } } },
    });
    expect(page).not.toContain("<script>");
    expect(page).not.toMatch(/id="[^"]*'>/);
  });
});
