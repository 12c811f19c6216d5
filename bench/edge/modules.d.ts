/** What bench/edge.ts puts into the bundles. */
declare module "toolruntime:original" {
  /** The tool's module as its author compiled it. */
  export const original: WebAssembly.Module;
}

declare module "toolruntime:codes" {
  /** Workers as JavaScript, by name. */
  export const codes: Readonly<Record<string, string>>;
}
