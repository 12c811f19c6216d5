// Writes ../witness-program.ts from the programs in the folder that the first argument names.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const source = createHash("sha256").update(readFileSync("witness.c")).digest("hex");
const [, , folder = "."] = process.argv;
const lines = ["x64", "arm64"].map((arch) => `  ${arch}:\n    "${readFileSync(join(folder, arch)).toString("base64")}",`);
writeFileSync(
  "../witness-program.ts",
  `/** Written by witness/build.sh: witness/witness.c for each architecture, as a static program in base64. */
export const witnessPrograms: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
${lines.join("\n")}
};

/** SHA-256 of the witness.c that the programs came of. */
export const witnessSource = "${source}";
`,
);
