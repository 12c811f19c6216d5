/** What a worker loads when it has to do with signed requests; the folder's other parts stay out of its bundle. */
export { parseKeySet, parsePrivateKey } from "./jwks.ts";
export { requestSigner } from "./signer.ts";
export { signedTokens } from "./verifier.ts";
