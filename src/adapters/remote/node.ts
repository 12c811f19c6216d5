export { nodesByName } from "./node-dns.ts";
export type { DnsOptions } from "./node-dns.ts";
export { nodeFetch } from "./node-fetch.ts";
export type { NodeFetch, NodeFetchOptions } from "./node-fetch.ts";
