import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { proveSubject } from "../../src/cli/prove/prove.ts";
import { commandAttacker, commandGuest, commandVictim } from "../../src/conformance/node.ts";
import type { ProvedCase } from "../../src/internal/proof.ts";
import { naive } from "../abuse/naive-backend.ts";
import { cli } from "./support.ts";

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "toolruntime-prove-test-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

test("proves the limits of a backend, and a signed report is taken only as it was signed", { timeout: 120_000 }, async () => {
  const at = await folder();
  const file = (name: string): string => join(at, name);
  for (const name of ["ours", "other"]) {
    const made = await cli(["keys", "create", "--issuer", name, "--key", file(`${name}.json`), "--trusted", file(`${name}.jwks`)]);
    expect([made.code, made.stderr]).toEqual([0, expect.any(String)]);
  }
  const which = ["--backend", "wasm", "--security", "standard", "--limits-only"];
  const proved = await cli(["doctor", "--prove", ...which, "--json", "--sign", file("ours.json"), "--out", file("proof.jws")]);
  expect([proved.code, proved.stderr]).toEqual([0, ""]);
  const report = JSON.parse(proved.stdout);
  expect(report.backends).toMatchObject([{ backend: "wasm", status: "ready", profiles: [{ profile: "standard", verdict: "proved" }] }]);
  const { limits } = report.backends[0].profiles[0];
  const outcomes = Object.fromEntries(limits.map(({ limit, outcome }: { limit: string; outcome: string }) => [limit, outcome]));
  expect(outcomes).toMatchObject({ timeout: "held", cpuTime: "held", fuel: "held", memory: "held", output: "held", disk: "held" });

  const verify = (name: string, keys: string) => cli(["doctor", "--verify", file(name), "--trusted", file(keys), "--json"]);
  const shown = await verify("proof.jws", "ours.jwks");
  expect([shown.code, JSON.parse(shown.stdout)]).toEqual([0, report]);
  expect(await verify("proof.jws", "other.jwks")).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_ATTESTATION") });
  const [head, payload = "", signature] = (await readFile(file("proof.jws"), "utf8")).trim().split(".");
  const better = Buffer.from(payload, "base64url").toString().replace('"hardened"', '"standard"').replace('"wasm"', '"docker"');
  await writeFile(file("changed.jws"), [head, Buffer.from(better).toString("base64url"), signature].join("."));
  expect(await verify("changed.jws", "ours.jwks")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("its signature does not fit"),
  });
});

test("has teeth: of a backend that claims what it does not hold it says what is broken", { timeout: 120_000 }, async () => {
  const scratch = await folder();
  const guests = commandGuest();
  const subject = {
    backend: naive({ scratch, leakedFd: 2 }),
    scratch,
    guests,
    ambientEnv: [],
    native: { attacker: commandAttacker, victim: await commandVictim() },
    async [Symbol.asyncDispose]() {},
  };
  const trying = {
    limitsOnly: true,
    profiles: ["dev", "standard"] as const,
    onStep: () => undefined,
    signal: new AbortController().signal,
  };
  const { profiles } = await proveSubject(subject, trying);
  const [dev, standard] = profiles;
  expect(dev?.verdict).toBe("broken");
  const broken = dev?.limits.filter(({ outcome }) => outcome === "broken").map(({ limit }) => limit);
  expect(broken).toEqual(expect.arrayContaining(["memory", "processes"]));
  const reasons = dev?.cases.filter(({ outcome }: ProvedCase) => outcome === "broken").map(({ reason }) => reason);
  expect(reasons?.every((reason) => reason !== undefined && reason !== "")).toBe(true);
  expect(standard).toMatchObject({ verdict: "refused", code: "ERR_PROFILE_UNSUPPORTED" });
});

test("wants its options together, and takes no report that is none", async () => {
  const at = await folder();
  await writeFile(join(at, "empty"), "");
  await writeFile(join(at, "keys"), '{"keys":[]}');
  expect(await cli(["doctor", "--verify", join(at, "empty")])).toMatchObject({ code: 2, stderr: expect.stringContaining("--trusted") });
  const empty = await cli(["doctor", "--verify", join(at, "empty"), "--trusted", join(at, "keys")]);
  expect(empty).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_ATTESTATION") });
  expect(await cli(["doctor", "--prove", "--backend", "dokcer"])).toMatchObject({ code: 2, stderr: expect.stringContaining('"docker"') });
});
