import { execFile } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { parseKeySet, parsePrivateKey, requestSigner } from "../../src/adapters/trust/index.ts";
import { createClient } from "../../src/client.ts";
import { cli, guest, seen, startCli } from "../cli/support.ts";
import { openTrusting, temporaryFolder } from "./support.ts";

const run = promisify(execFile);
const read = (file: string): unknown => JSON.parse(readFileSync(file, "utf8"));

interface Made {
  readonly folder: string;
  readonly key: string;
  readonly trusted: string;
  readonly secret: string;
  readonly kid: string;
}

async function create(...more: readonly string[]): Promise<Made> {
  const folder = temporaryFolder();
  const [key, trusted] = [join(folder, "signing-key.json"), join(folder, "trusted-keys.json")];
  const { code, stdout, stderr } = await cli(["keys", "create", "--issuer", "edge-1", "--json", ...more], { cwd: folder });
  expect([code, stderr]).toEqual([0, ""]);
  const { d: secret } = parsePrivateKey(read(key));
  expect(stdout).not.toContain(secret);
  return { folder, key, trusted, secret, kid: (JSON.parse(stdout) as { kid: string }).kid };
}

describe("toolruntime keys", () => {
  it.each(["EdDSA", "ES256"])("create makes a key of %s that nobody else may read, and a set without the secret part", async (alg) => {
    const { key, trusted, secret, kid, folder } = await create("--alg", alg);
    expect(statSync(key).mode & 0o777).toBe(0o600);
    expect(readFileSync(trusted, "utf8")).not.toContain(secret);
    expect(parseKeySet(read(trusted)).keys).toMatchObject([{ kid, alg, iss: "edge-1" }]);
    expect(readdirSync(folder).toSorted()).toEqual(["signing-key.json", "trusted-keys.json"]);
  });

  it("create writes over nothing, and adds to the set", async () => {
    const { folder, key, trusted, kid } = await create();
    const before = readFileSync(key, "utf8");
    const again = await cli(["keys", "create", "--issuer", "edge-1"], { cwd: folder });
    expect([again.code, again.stdout]).toEqual([2, ""]);
    expect(again.stderr).toContain("it is there already");
    expect([readFileSync(key, "utf8"), parseKeySet(read(trusted)).keys.length]).toEqual([before, 1]);
    const second = await cli(["keys", "create", "--issuer", "edge-2", "--key", "second.json"], { cwd: folder });
    expect(second.code).toBe(0);
    expect(second.stdout).not.toContain(parsePrivateKey(read(join(folder, "second.json"))).d);
    const list = await cli(["keys", "list", "--json"], { cwd: folder });
    expect(JSON.parse(list.stdout)).toMatchObject([{ kid, issuer: "edge-1", state: "trusted" }, { issuer: "edge-2" }]);
  });

  it("rotate keeps the old key for a while, and says what to do first", async () => {
    const { folder, kid, secret, trusted } = await create();
    const before = Date.now();
    const rotated = await cli(["keys", "rotate", "--next", "next.json", "--grace", "1h"], { cwd: folder });
    expect([rotated.code, rotated.stderr]).toEqual([0, ""]);
    const next = parsePrivateKey(read(join(folder, "next.json")));
    for (const text of [secret, next.d]) expect(rotated.stdout).not.toContain(text);
    expect(rotated.stdout.indexOf("trusted-keys.json on every service")).toBeLessThan(rotated.stdout.indexOf("next.json in place of"));
    const [old, added] = parseKeySet(read(trusted)).keys;
    expect([old?.kid, added?.kid]).toEqual([kid, next.kid]);
    expect((old?.exp ?? 0) * 1000 - before).toBeGreaterThan(3_590_000);
    expect(statSync(join(folder, "next.json")).mode & 0o777).toBe(0o600);
    // The old one has been rotated, and the file of the new one is there.
    for (const args of [
      ["--next", "third.json"],
      ["--key", "next.json", "--next", "next.json"],
    ]) {
      expect((await cli(["keys", "rotate", ...args], { cwd: folder })).code).toBe(2);
    }
    expect(existsSync(join(folder, "third.json"))).toBe(false);
    expect(parseKeySet(read(trusted)).keys).toHaveLength(2);
    // What has run out goes with the next rotation.
    writeFileSync(trusted, JSON.stringify({ keys: [{ ...old, exp: 1 }, added] }));
    expect((await cli(["keys", "list"], { cwd: folder })).stdout).toContain("over since 1970");
    expect((await cli(["keys", "rotate", "--key", "next.json", "--next", "third.json"], { cwd: folder })).stdout).toContain(
      `${kid} had run out`,
    );
    expect(parseKeySet(read(trusted)).keys.map((key) => key.kid)).not.toContain(kid);
  });

  it("revoke takes a key out at once", async () => {
    const { folder, kid, trusted } = await create();
    expect((await cli(["keys", "revoke", "none"], { cwd: folder })).code).toBe(2);
    expect((await cli(["keys", "revoke", kid], { cwd: folder })).code).toBe(0);
    expect(parseKeySet(read(trusted)).keys).toEqual([]);
  });

  it("show prints the public part, and the private one only where it is asked for", async () => {
    const { folder, key, secret } = await create();
    for (const args of [[], ["--public"]]) {
      const { code, stdout } = await cli(["keys", "show", key, ...args], { cwd: folder });
      expect([code, stdout.includes(secret)]).toEqual([0, false]);
      expect(parseKeySet(JSON.parse(stdout)).keys).toHaveLength(1);
    }
    expect((await cli(["keys", "show", key, "--private"], { cwd: folder })).stdout).toContain(secret);
    expect((await cli(["keys", "show", key, "--private", "--public"], { cwd: folder })).code).toBe(2);
  });

  it("uses no private key that others may read, and quotes none that is broken", async () => {
    const { folder, key, secret } = await create();
    chmodSync(key, 0o644);
    const open = await cli(["keys", "show", key], { cwd: folder });
    expect([open.code, open.stdout]).toEqual([2, ""]);
    expect(open.stderr).toContain("chmod 600");
    chmodSync(key, 0o600);
    for (const broken of [`{"d":"${secret}"`, `{"kty":"OKP","d":"${secret}"}`, `"${secret}"`]) {
      writeFileSync(key, broken);
      const { code, stdout, stderr } = await cli(["keys", "show", key], { cwd: folder });
      expect([code === 0, stdout, stderr.includes(secret)]).toEqual([false, "", false]);
    }
  });

  it("token prints a command that works once", async () => {
    const { folder, key, trusted } = await create();
    const service = await openTrusting({ keys: parseKeySet(read(trusted)) });
    const sign = (...args: readonly string[]) => cli(["keys", "token", ...args, "--key", key, "--audience", "node-1"], { cwd: folder });
    writeFileSync(join(folder, "body.json"), '{"tool":"echo","input":{"it\'s":"me"}}');
    for (const data of ["@body.json", '{"tool":"echo","input":{"it\'s":"me"}}']) {
      const { stdout } = await sign(`${service.url}/v1/executions`, "--data", data);
      const once = await run("sh", ["-c", `${stdout.trim()} -s`], { cwd: folder });
      expect(JSON.parse(once.stdout)).toMatchObject({ output: { "it's": "me" } });
      const twice = await run("sh", ["-c", `${stdout.trim()} -s`], { cwd: folder });
      expect(JSON.parse(twice.stdout)).toMatchObject({ code: "ERR_TOKEN_REPLAYED" });
    }
    const list = await sign(`${service.url}/v1/tools`, "--scopes", "read", "--json");
    const { command } = JSON.parse(list.stdout) as { command: string };
    expect(JSON.parse((await run("sh", ["-c", `${command} -s`])).stdout)).toMatchObject({ tools: [{ name: "echo" }] });
    for (const args of [["not-a-url"], [`${service.url}/v1/tools`, "--scopes", "all"]]) expect((await sign(...args)).code).toBe(2);
  });

  it("rotates under a service that runs: at SIGHUP it takes what the new key signs, and never stops", async () => {
    const { folder, key } = await create();
    const config = join(folder, "toolruntime.json");
    writeFileSync(
      config,
      JSON.stringify({
        port: 0,
        tools: "tools",
        keys: { trusted: "trusted-keys.json", issuers: [{ name: "edge-1" }], audience: "node-1" },
      }),
    );
    expect((await cli(["tools", "add", guest("echo"), "--tools", join(folder, "tools"), "--name", "echo"])).code).toBe(0);
    const child = startCli(["serve", "--config", config]);
    const url = /http:\/\/\S+/.exec(await seen(child.stdout, "Ctrl-C"))?.[0] ?? "";
    const clientOf = (file: string) => {
      const own = parsePrivateKey(read(join(folder, file)));
      return createClient({ url, retries: 0, signer: requestSigner({ key: own, issuer: "edge-1", subject: "test", audience: "node-1" }) });
    };
    expect((await clientOf("signing-key.json").tools.list()).length).toBe(1);
    expect((await cli(["keys", "rotate", "--key", key, "--next", "next.json"], { cwd: folder })).code).toBe(0);
    const isRead = seen(child.stderr, "keys read again");
    child.kill("SIGHUP");
    await isRead;
    for (const file of ["signing-key.json", "next.json"]) expect((await clientOf(file).tools.list()).length).toBe(1);
    expect(child.exitCode).toBeNull();
  }, 60_000);
});
