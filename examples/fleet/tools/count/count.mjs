// Takes {"n": 7}: writes the number to the ledger, thinks for a while and answers {"n": 7}.
import { appendFileSync } from "node:fs";
import { json } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";

const { n } = await json(process.stdin);
// One write with O_APPEND: lines of several processes do not mix.
appendFileSync(process.env.LEDGER, `${n}\n`);
await pause(100);
console.log(JSON.stringify({ n }));
