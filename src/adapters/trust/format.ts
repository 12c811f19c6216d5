/**
 * The token of one request: a JWT (RFC 7519) that is good for one method, path and body, for a minute at most, and once.
 * `htm` is DPoP's (RFC 9449 §4.2); `htu` is path and query alone, for a service does not know every name it is called by;
 * `bd` is the SHA-256 of the body in base64url, of no bytes where there is none.
 */
export const tokenType = "toolruntime+jwt";

/** Signatures that are taken. Both are of a key pair: whoever checks cannot sign. */
export const signingAlgorithms = ["EdDSA", "ES256"] as const;
export type SigningAlgorithm = (typeof signingAlgorithms)[number];

/** From `iat` to `exp`, at most. */
export const maxLifetimeS = 60;
/** How far two clocks may be apart. */
export const skewS = 30;
/** A token as this package makes it has about 600 characters. */
export const maxTokenLength = 4096;

/** Names of keys: nothing that a path, a header or a log would stumble over. */
export const keyIdPattern = /^[A-Za-z0-9._~-]{1,128}$/;
/** Issuers, audiences, principals and tenants: no control characters, no line ends. */
export const namePattern = /^[^\p{C}\p{Zl}\p{Zp}]{1,200}$/u;
/** SHA-256 in base64url. */
export const digestPattern = /^[A-Za-z0-9_-]{43}$/;
