// Started by remote.ts: an executor node. Prints its address.
import { readFile } from "node:fs/promises";
import { Writable } from "node:stream";
import { createService, parseConfig } from "../src/adapters/executor/index.ts";
import { createRegistry } from "../src/index.ts";
import { openTools } from "./remote-tools.ts";

const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
const [file = ""] = process.argv.slice(2);
const config = parseConfig(JSON.parse(await readFile(file, "utf8")));
const tools = createRegistry(Object.values(await openTools()));
const service = await createService({ config, tools, logTo: { write: (line) => void nowhere.write(line) } });
const { url } = await service.listen();
console.log(JSON.stringify({ url }));
