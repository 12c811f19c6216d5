// Writes ../init-program.ts from the programs in the folder that the first argument names.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const source = createHash("sha256").update(readFileSync("init.c")).digest("hex");
const [, , folder = "."] = process.argv;
const lines = ["x64", "arm64"].map((arch) => `  ${arch}:\n    "${readFileSync(join(folder, arch)).toString("base64")}",`);
writeFileSync(
  "../init-program.ts",
  `/** Written by init/build.sh: init/init.c for each architecture, as a static program in base64. */
export const initPrograms: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
${lines.join("\n")}
};

/** SHA-256 of the init.c that the programs came of. */
export const initSource = "${source}";
`,
);
