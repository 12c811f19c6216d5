import { makeArtifact } from "../../../src/wasm/made.ts";
import { bytesOf, openTool, type ToolData } from "./tools.ts";

/** What a worker is deployed with: modules beside its code, and statements that import them as `built`. */
export interface Deployment {
  readonly modules: Readonly<Record<string, Uint8Array>>;
  readonly code: string;
}

/** Makes tools for plain and for deterministic runs, as `toolruntime build` does: on workerd nothing is compiled later. */
export async function deploy(data: readonly ToolData[]): Promise<Deployment> {
  const modules: Record<string, Uint8Array> = {};
  const imports: string[] = [];
  const tools: string[] = [];
  for (const { name, base64 } of data) {
    const tool = await openTool(bytesOf(base64));
    const variants: string[] = [];
    for (const deterministic of [false, true]) {
      const { modules: own, ...head } = await makeArtifact(tool, { deterministic });
      const members = Object.entries(own).map(([part, bytes]) => {
        const path = `tools/${imports.length}.wasm`;
        modules[path] = bytes;
        imports.push(`import module${imports.length} from ${JSON.stringify(`./${path}`)};`);
        return `${JSON.stringify(part)}: module${imports.length - 1}`;
      });
      variants.push(`{ ...${JSON.stringify(head)}, modules: { ${members.join(", ")} } }`);
    }
    tools.push(`${JSON.stringify(name)}: [${variants.join(", ")}]`);
  }
  return { modules, code: `${imports.join("\n")}\nconst built = { ${tools.join(", ")} };` };
}
