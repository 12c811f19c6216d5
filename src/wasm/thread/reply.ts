import type { MeteredModule } from "../meter/index.ts";

/** What the thread answers; errors by what they are, since a class does not go from one thread to another. */
export type Reply =
  | { readonly kind: "metered"; readonly metered: MeteredModule }
  | { readonly kind: "bound" | "binary"; readonly message: string };
