import type { Signer } from "../client.ts";
import type { Authenticator } from "./auth.ts";
import type { DurableObjectNamespace } from "./cloudflare/bindings.ts";
import { durableReplays } from "./cloudflare/durable-replays.ts";
import type { KeysVariable, SigningVariable } from "./cloudflare/trust-variables.ts";

/** Takes signed tokens. What checks signatures is loaded with the first request that has one. */
export function lazySignedTokens({ keys, issuers, audience }: KeysVariable, objects: DurableObjectNamespace | undefined): Authenticator {
  let opened: Authenticator | undefined;
  return async (request) => {
    if (opened === undefined) {
      const { parseKeySet, signedTokens } = await import("../adapters/trust/requests.ts");
      // Nobody waits for what another request began; and there must be one memory of tokens that were used.
      const replays = objects === undefined ? {} : { replays: durableReplays(objects) };
      opened ??= signedTokens({ keys: parseKeySet({ keys }), issuers, audience, ...replays });
    }
    return opened(request);
  };
}

/** Signs requests to a node. @throws `ERR_CONFIG_INVALID` with the first request, for a key that cannot sign. */
export function lazySigner({ key, ...rest }: SigningVariable, audience: string): Signer {
  let opened: Signer | undefined;
  return async (request) => {
    if (opened === undefined) {
      const { parsePrivateKey, requestSigner } = await import("../adapters/trust/requests.ts");
      opened ??= requestSigner({ ...rest, key: parsePrivateKey(key), audience });
    }
    return opened(request);
  };
}
