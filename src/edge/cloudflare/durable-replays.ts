import { ToolRuntimeError } from "../../errors.ts";
import type { DurableObjectNamespace } from "./bindings.ts";
import type { Operations } from "./execution-protocol.ts";
import type { SpendRequest } from "./spent-tokens.ts";

/** A token that was found good, of an issuer. */
interface IssuedToken extends SpendRequest {
  readonly issuer: string;
}

/**
 * Remembers used tokens for all isolates of a worker, in the objects that keep executions; an issuer has objects of its
 * own, as many as a token's id may begin with letters.
 *
 * @throws `ERR_BACKEND_UNAVAILABLE` where the object does not answer: whether the token was used is then not known.
 */
export function durableReplays(namespace: DurableObjectNamespace) {
  return {
    async spend({ issuer, id, validForMs }: IssuedToken): Promise<Operations["spend"]["answer"]["spending"]> {
      // No tenant has a NUL in its name.
      const object = namespace.get(namespace.idFromName(`\0spent ${id.slice(0, 1)} ${issuer}`));
      const ask: Operations["spend"]["ask"] = { id, validForMs };
      try {
        const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(ask) };
        const response = await object.fetch("http://executions/spend", init);
        if (!response.ok) throw new Error(`it answered ${response.status}`);
        return ((await response.json()) as Operations["spend"]["answer"]).spending;
      } catch (cause) {
        throw new ToolRuntimeError("ERR_BACKEND_UNAVAILABLE", "Cannot take the token: what keeps used tokens does not answer; sign anew", {
          cause,
        });
      }
    },
  };
}
