import { parseQuantity } from "../../limits.ts";
import { publicPartOf, type PublicKey } from "../../adapters/trust/index.ts";
import { scopes as allScopes, type Scope } from "../../edge/index.ts";
import { defineCommand } from "../command.ts";
import { exitCodes, UsageError } from "../exit-codes.ts";
import { curlCommand } from "../keys/curl-command.ts";
import { readKeySet, readKeySetIfAny, readPrivateKey, writeKeySet, writePrivateKey } from "../keys/key-files.ts";
import { keyAlgorithms, makeKey, rotate as rotateKeys, timeOf, type KeyAlgorithm } from "../keys/make-key.ts";
import { openTerminal, styled } from "../terminal.ts";

const algorithms: KeyAlgorithm[] = [...keyAlgorithms];

const common = {
  key: { type: "string", description: "The file of the private key; signing-key.json where none is named", valueHint: "file" },
  trusted: { type: "string", description: "The key set of public keys; trusted-keys.json where none is named", valueHint: "file" },
  json: { type: "boolean", description: "Print JSON" },
} as const;
const defaultKey = "signing-key.json";
const defaultTrusted = "trusted-keys.json";

const create = defineCommand({
  meta: { name: "toolruntime keys create", description: "Makes a key to sign requests with, and adds its public part to a key set" },
  args: {
    ...common,
    issuer: { type: "string", description: "Whose key it is, as the services' configuration names him", required: true, valueHint: "name" },
    alg: { type: "enum", options: algorithms, description: "EdDSA (Ed25519) where nothing is named" },
  },
  notes: `The private key goes to a file that only this user may read; a file that is there is never written over. Services
take the key set as "keys.trusted" of their configuration and read it again when it changes.

Examples:
  toolruntime keys create --issuer edge-1
  toolruntime keys create --issuer edge-1 --alg ES256 --key ./edge-1.json --trusted ./trusted-keys.json`,
  run: async ({ args }) => {
    const terminal = openTerminal();
    const { key: file = defaultKey, trusted = defaultTrusted } = args;
    const { keys } = await readKeySetIfAny(trusted);
    const key = await makeKey(args.alg ?? "EdDSA", args.issuer);
    await writePrivateKey(file, key);
    await writeKeySet(trusted, { keys: [...keys, publicPartOf(key)] });
    if (args.json === true) terminal.json({ kid: key.kid, issuer: args.issuer, key: file, trusted });
    else {
      terminal.print(styled("green", "created "), `the key ${key.kid} of ${args.issuer}`);
      terminal.print(`  ${file} is to sign with; it stays on the machine that signs`);
      terminal.print(`  ${trusted} is for the services, as "keys.trusted"`);
    }
    return exitCodes.ok;
  },
});

const rotate = defineCommand({
  meta: { name: "toolruntime keys rotate", description: "Makes a new key; the old one is trusted for a while longer" },
  args: {
    ...common,
    next: { type: "string", description: "The file for the new private key", required: true, valueHint: "file" },
    grace: { type: "string", description: "How long the old key is trusted; 24h where nothing is named", valueHint: "duration" },
    alg: { type: "enum", options: algorithms, description: "That of the old key where nothing is named" },
  },
  notes: `First the services, then those who sign: a service that does not have the new public key yet refuses what is signed
with it. Keys that have run out are taken out of the set.

Examples:
  toolruntime keys rotate --next ./signing-key-2.json
  toolruntime keys rotate --key ./edge-1.json --next ./edge-1-2.json --grace 1h`,
  run: async ({ args }) => {
    const terminal = openTerminal();
    const { key: file = defaultKey, trusted = defaultTrusted } = args;
    const graceMs = parseQuantity("timeout", args.grace ?? "24h");
    const [old, set] = await Promise.all([readPrivateKey(file), readKeySet(trusted)]);
    const next = await makeKey(args.alg ?? (old.kty === "OKP" ? "EdDSA" : "ES256"), issuerOf(old));
    const { keys, expiresS, dropped } = rotateKeys(set, { old: publicPartOf(old), next: publicPartOf(next), graceMs, nowMs: Date.now() });
    await writePrivateKey(args.next, next);
    await writeKeySet(trusted, keys);
    const until = timeOf(expiresS);
    const steps = [
      `Put ${trusted} on every service that trusts ${issuerOf(old)}; each reads it by itself, or at SIGHUP`,
      `Then have those who sign use ${args.next} in place of ${file}`,
      `Until ${until} both keys are trusted; after it delete ${file}`,
    ];
    if (args.json === true) terminal.json({ kid: next.kid, replaces: old.kid, key: args.next, trusted, until, dropped, steps });
    else {
      terminal.print(styled("green", "rotated "), `${old.kid} to ${next.kid}`);
      for (const [index, step] of steps.entries()) terminal.print(`  ${index + 1}. ${step}`);
      for (const kid of dropped) terminal.print(`  ${kid} had run out and is gone from the set`);
    }
    return exitCodes.ok;
  },
});

const revoke = defineCommand({
  meta: { name: "toolruntime keys revoke", description: "Takes a key out of a key set at once" },
  args: { kid: { type: "positional", description: "The key's id", required: true }, trusted: common.trusted, json: common.json },
  notes: `For a key that was stolen. What is signed with it is refused as soon as the services have read the set.

Examples:
  toolruntime keys revoke 3oV1mCq9pX0 --trusted ./trusted-keys.json`,
  run: async ({ args }) => {
    const terminal = openTerminal();
    const { trusted = defaultTrusted, kid } = args;
    const { keys } = await readKeySet(trusted);
    const kept = keys.filter((key) => key.kid !== kid);
    if (kept.length === keys.length) throw new UsageError(`The key set ${JSON.stringify(trusted)} has no key ${JSON.stringify(kid)}`);
    await writeKeySet(trusted, { keys: kept });
    if (args.json === true) terminal.json({ kid, trusted, left: kept.length });
    else terminal.print(styled("green", "revoked "), `${kid}; ${kept.length} left in ${trusted}. Put it on every service now`);
    return exitCodes.ok;
  },
});

const list = defineCommand({
  meta: { name: "toolruntime keys list", description: "Lists the keys of a key set" },
  args: { trusted: common.trusted, json: common.json },
  notes: `Examples:
  toolruntime keys list
  toolruntime keys list --trusted ./trusted-keys.json --json`,
  run: async ({ args }) => {
    const terminal = openTerminal();
    const { keys } = await readKeySet(args.trusted ?? defaultTrusted);
    const now = Date.now();
    const rows = keys.map((key) => ({
      kid: key.kid,
      alg: key.kty === "OKP" ? "EdDSA" : "ES256",
      issuer: key.iss ?? "",
      state: stateOf(key, now),
      ...(key.exp === undefined ? {} : { until: timeOf(key.exp) }),
    }));
    if (args.json === true) terminal.json(rows);
    else
      terminal.table(
        rows.map(({ kid, alg, issuer, state, until }) => [kid, alg, issuer, until === undefined ? state : `${state} ${until}`]),
      );
    return exitCodes.ok;
  },
});

const show = defineCommand({
  meta: { name: "toolruntime keys show", description: "Shows a key: its public part, unless the private one is asked for" },
  args: {
    file: { type: "positional", description: "The file of the private key", required: true },
    public: { type: "boolean", description: "The public part, as a key set; so it is by default" },
    private: { type: "boolean", description: "The whole key. Whoever reads it can sign" },
  },
  notes: `Examples:
  toolruntime keys show ./signing-key.json > trusted-keys.json
  toolruntime keys show ./signing-key.json --private | wrangler secret put TOOLRUNTIME_SIGNING_KEY`,
  run: async ({ args }) => {
    if (args.public === true && args.private === true) throw new UsageError("Only one of --public and --private can be shown");
    const key = await readPrivateKey(args.file);
    openTerminal().json(args.private === true ? key : { keys: [publicPartOf(key)] });
    return exitCodes.ok;
  },
});

const token = defineCommand({
  meta: { name: "toolruntime keys token", description: "Signs one request by hand and prints it as a curl command" },
  args: {
    key: common.key,
    url: { type: "positional", description: "The whole address, with path and query", required: true },
    audience: { type: "string", description: "The service's name, as its configuration has it", required: true, valueHint: "name" },
    method: { type: "string", description: "GET where nothing is named, POST with --data", valueHint: "method" },
    data: { type: "string", description: "The body: itself, or @file", valueHint: "text" },
    "content-type": { type: "string", description: "application/json where nothing is named", valueHint: "type" },
    subject: { type: "string", description: "Who calls; command line where nothing is named", valueHint: "name" },
    tenant: { type: "string", description: "For whom; default where nothing is named", valueHint: "name" },
    scopes: { type: "string", description: "What it may be used for; run,read where nothing is named", valueHint: "list" },
    json: common.json,
  },
  notes: `The token is good for a minute, for this method, address and body, and once.

Examples:
  toolruntime keys token https://node-1:8787/v1/tools --audience node-1
  toolruntime keys token https://node-1:8787/v1/executions --audience node-1 --data '{"tool":"hash","input":{"text":"a"}}'`,
  run: async ({ args }) => {
    const terminal = openTerminal();
    const made = await curlCommand({
      key: await readPrivateKey(args.key ?? defaultKey),
      url: args.url,
      audience: args.audience,
      method: (args.method ?? (args.data === undefined ? "GET" : "POST")).toUpperCase(),
      data: args.data,
      contentType: args["content-type"] ?? "application/json",
      subject: args.subject ?? "command line",
      tenant: args.tenant ?? "default",
      scopes: scopesOf(args.scopes ?? "run,read"),
    });
    if (args.json === true) terminal.json(made);
    else terminal.print(made.command);
    return exitCodes.ok;
  },
});

export const keys = defineCommand({
  meta: { name: "toolruntime keys", description: "Makes, rotates and shows keys that requests are signed with" },
  notes: `Examples:
  toolruntime keys create --issuer edge-1
  toolruntime keys rotate --next ./signing-key-2.json`,
  subCommands: { create, rotate, revoke, list, show, token },
});

function issuerOf({ iss }: PublicKey): string {
  if (iss !== undefined) return iss;
  throw new UsageError("The key does not say whose it is; toolruntime keys create makes one that does");
}

function stateOf({ exp }: PublicKey, nowMs: number): "trusted" | "until" | "over since" {
  if (exp === undefined) return "trusted";
  return exp * 1000 < nowMs ? "over since" : "until";
}

function isScope(name: string): name is Scope {
  return allScopes.some((scope) => scope === name);
}

function scopesOf(text: string): Scope[] {
  const names = text.split(",");
  const unknown = names.find((name) => !isScope(name));
  if (unknown !== undefined) throw new UsageError(`There is no scope ${JSON.stringify(unknown)}; there are ${allScopes.join(", ")}`);
  return names.filter(isScope);
}
