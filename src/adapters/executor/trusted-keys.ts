import { readFile } from "node:fs/promises";
import { ToolRuntimeError } from "../../errors.ts";
import type { Authenticator } from "../../edge/index.ts";
import { memoryReplays, parseKeySet, signedTokens, type KeySet } from "../trust/index.ts";
import { configError, reasonOf } from "./config/errors.ts";
import type { KeysConfig } from "./config/trust.ts";
import { replayFile } from "./replay-file.ts";
import { watchFiles } from "./watched-files.ts";

export interface TrustedKeys {
  readonly authenticate: Authenticator;
  /** Reads the key set again; one that cannot be used leaves the old one in place. */
  reload(): Promise<void>;
  close(): void;
}

export interface TrustedKeysOptions {
  readonly config: KeysConfig;
  /** The node's name, by which callers may call it where the configuration names nothing else. */
  readonly name: string;
  /** Where it is kept which tokens were used; without it a restart forgets them. */
  readonly folder: string | undefined;
  /** Told of a key set that was read again, and of one that cannot be used. */
  readonly onReload: (problem: ToolRuntimeError | undefined) => void;
}

/** Takes tokens that are signed with one of the keys in a file, which is read again when it changes. @throws `ERR_CONFIG_INVALID`. */
export async function openTrustedKeys({ config, name, folder, onReload }: TrustedKeysOptions): Promise<TrustedKeys> {
  let keys = await readKeys(config);
  const { issuers, audience = name, maxTokensPerIssuer } = config;
  const bounds = maxTokensPerIssuer === undefined ? {} : { maxPerIssuer: maxTokensPerIssuer };
  const file = folder === undefined ? undefined : replayFile({ ...bounds, folder });
  const replays = file ?? memoryReplays(bounds);
  const authenticate = signedTokens({ keys: () => keys, issuers, audience, replays });
  const reload = async (): Promise<void> => {
    try {
      keys = await readKeys(config);
      onReload(undefined);
    } catch (error) {
      if (!(error instanceof ToolRuntimeError)) throw error;
      onReload(error);
    }
  };
  const watched = watchFiles([config.trusted], () => void reload());
  const close = (): void => {
    watched.stop();
    file?.close();
  };
  return { authenticate, reload, close };
}

async function readKeys({ trusted, issuers }: KeysConfig): Promise<KeySet> {
  const source = "keys.trusted";
  let value: unknown;
  try {
    value = JSON.parse(await readFile(trusted, "utf8"));
  } catch (error) {
    // What the parser says would quote the file, which may hold a private key by mistake.
    const why = error instanceof SyntaxError ? "is not JSON" : `cannot be read: ${reasonOf(error)}`;
    throw configError(source, `the file ${JSON.stringify(trusted)} ${why}`);
  }
  const set = parseKeySet(value);
  const names = issuers.map(({ name }) => name);
  for (const { kid, iss } of set.keys) {
    if (iss === undefined ? names.length > 1 : !names.includes(iss))
      throw configError(
        source,
        `the key "${kid}" is ${iss === undefined ? "nobody's" : `that of "${iss}"`}; "iss" must be one of ${names.join(", ")}`,
      );
  }
  return set;
}
