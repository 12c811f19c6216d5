import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { publicPartOf, requestSigner, type PrivateKey } from "../../src/adapters/trust/index.ts";
import { createClient } from "../../src/client.ts";
import { cli, guest, seen, startCli } from "../cli/support.ts";
import { tokens } from "../edge/support.ts";
import { audience, forge, keySetOf, makeKey, openTrusting, temporaryFolder } from "./support.ts";

const body = '{"tool":"echo","input":{"a":1}}';

let ed: PrivateKey;
beforeAll(async () => {
  ed = await makeKey("EdDSA");
});

describe("keys", () => {
  it("are read again: a new one is taken, one that ran out is not, and a broken file changes nothing", async () => {
    const service = await openTrusting({ keys: keySetOf(ed) });
    const next = await makeKey("ES256");
    const status = async (key: PrivateKey) => (await service.send(await forge({ key, body }), { body })).status;
    const write = async (keys: unknown): Promise<void> => {
      writeFileSync(service.keysFile, typeof keys === "string" ? keys : JSON.stringify(keys));
      await service.service.reload();
    };
    expect([await status(ed), await status(next)]).toEqual([200, 401]);
    await write(keySetOf(ed, next));
    expect([await status(ed), await status(next)]).toEqual([200, 200]);
    await write("{");
    await write({ keys: [{ ...next }] });
    expect([await status(ed), await status(next)]).toEqual([200, 200]);
    expect(service.log.some((line) => line.includes("ERR_CONFIG_INVALID") && line.includes("stays"))).toBe(true);
    expect(service.log.join("")).not.toContain(next.d);
    await write({ keys: [{ ...publicPartOf(ed), exp: Math.floor(Date.now() / 1000) - 1 }, publicPartOf(next)] });
    expect([await status(ed), await status(next)]).toEqual([401, 200]);
    expect(service.denied()).toBe("kid");
  });

  it("that are secret, of an unknown issuer, twice there or of another kind let no service start", async () => {
    const start = (keys: unknown, issuers = [{ name: "edge-1" }]) => openTrusting({ keys: keys as ReturnType<typeof keySetOf>, issuers });
    const refusals: [unknown, string][] = [
      [{ keys: [ed] }, "secret part"],
      [{ keys: [{ kty: "oct", k: "AAAA", kid: "a" }] }, "secret part"],
      [{ keys: [{ kty: "RSA", n: "AAAA", e: "AQAB", kid: "a" }] }, "/keys/0"],
      [{ keys: [publicPartOf(ed), publicPartOf(ed)] }, "/keys/1/kid"],
      [{ keys: [{ ...publicPartOf(ed), kid: "../a" }] }, "/keys/0/kid"],
      [{ keys: [{ ...publicPartOf(ed), x: "AAAA" }] }, "/keys/0/x"],
      [{ keys: [{ ...publicPartOf(ed), iss: "edge-9" }] }, '"edge-9"'],
      [{}, "/keys"],
    ];
    for (const [keys, hint] of refusals) {
      await expect(start(keys)).rejects.toMatchObject({ code: "ERR_CONFIG_INVALID", message: expect.stringContaining(hint) as string });
    }
    const two = [{ name: "edge-1" }, { name: "edge-2" }];
    await expect(start(keySetOf(ed), two)).rejects.toMatchObject({ message: expect.stringContaining("nobody's") as string });
  });
});

describe("G4 a service whose clock is ten minutes off", () => {
  it.each([-600_000, 600_000])(
    "holds deadlines, and takes what is signed by its own clock alone: %i ms",
    async (offMs) => {
      const folder = temporaryFolder();
      const write = (name: string, content: string) => writeFileSync(join(folder, name), content);
      write("jwks.json", JSON.stringify(keySetOf(ed)));
      const keys = { trusted: "jwks.json", issuers: [{ name: "edge-1" }] };
      write("node.json", JSON.stringify({ port: 0, name: audience, security: "dev", tools: "tools", tokens: [tokens.alice], keys }));
      // The process sees another time than this one; what counts time by itself does not.
      write(
        "clock.mjs",
        `const own = Date.now; const off = ${offMs};
      globalThis.Date = class extends Date { constructor(...args) { super(...(args.length === 0 ? [own() + off] : args)); } static now() { return own() + off; } };`,
      );
      for (const name of ["echo", "spin"]) {
        expect((await cli(["tools", "add", guest(name), "--tools", join(folder, "tools"), "--name", name])).code).toBe(0);
      }
      const env = { NODE_OPTIONS: `--import=${pathToFileURL(join(folder, "clock.mjs")).href}` };
      const child = startCli(["serve", "--config", join(folder, "node.json")], { env });
      const url = /http:\/\/\S+/.exec(await seen(child.stdout, "Ctrl-C"))?.[0] ?? "";
      const signedAt = (now: () => number) =>
        createClient({ url, retries: 0, signer: requestSigner({ key: ed, issuer: "edge-1", subject: "alice", audience, now }) });
      expect((await signedAt(() => Date.now() + offMs).tools.list()).length).toBe(2);
      await expect(signedAt(Date.now).tools.list()).rejects.toMatchObject({ code: "ERR_UNAUTHORIZED" });
      const client = createClient({ url, token: tokens.alice.token, retries: 0 });
      expect((await client.run({ tool: "echo", input: {} }, { deadline: "20s" })).exitCode).toBe(0);
      await expect(client.run({ tool: "spin", input: {} }, { deadline: "700ms" })).rejects.toMatchObject({ code: "ERR_DEADLINE" });
      // It is the service whose clock is off, not the test that is wrong about it.
      const execution = await client.start({ tool: "echo", input: {} });
      const { createdAt } = await execution.get();
      expect(Math.abs(Date.parse(createdAt) - Date.now() - offMs)).toBeLessThan(60_000);
    },
    60_000,
  );
});
