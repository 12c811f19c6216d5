import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { renderDocs } from "../../src/adapters/executor/docs-page.ts";
import { openService } from "../edge/support.ts";

/** Debian's; what a browser says of a page it says on stderr. */
const chromium = "/usr/bin/chromium";
const hasBrowser = existsSync(chromium);
if (!hasBrowser) console.log("The API page is not looked at in a browser: there is no /usr/bin/chromium (Debian's package chromium)");

async function look(url: string): Promise<{ readonly dom: string; readonly said: string }> {
  const profile = mkdtempSync(join(tmpdir(), "toolruntime-browser-"));
  const quiet = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ];
  const args = ["--headless", "--no-sandbox", ...quiet, `--user-data-dir=${profile}`, "--enable-logging=stderr", "--dump-dom", url];
  const { stdout, stderr } = await promisify(execFile)(chromium, args, { timeout: 60_000, maxBuffer: 2 ** 24 });
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  return { dom: stdout, said: stderr };
}

describe("GET /docs", () => {
  it("has the one style that its policy names", async () => {
    const { get } = await openService();
    const response = await get("/docs");
    const [, style = ""] = /<style>([^]*?)<\/style>/.exec(await response.text()) ?? [];
    const digest = createHash("sha256").update(style).digest("base64");
    expect(response.headers.get("content-security-policy")).toContain(`style-src 'sha256-${digest}'`);
  });

  it.skipIf(!hasBrowser)("breaks no rule in a browser", async () => {
    const { url } = await openService();
    const { dom, said } = await look(`${url}/docs`);
    expect(dom).toContain("/v1/executions</h3>");
    expect(said).not.toMatch(/Content Security Policy|Refused to/);
  });

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
