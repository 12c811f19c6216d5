import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import autocannon from "autocannon";
import { toRows, type BenchTable, type Effort } from "./measure.ts";

const connections = 20;
const seconds = 3;

interface Addresses {
  readonly service: string;
  readonly floor: string;
  readonly byHand: string;
  readonly body: string;
}

async function load(url: string, body: string): Promise<number> {
  const result = await autocannon({
    url,
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
    connections,
    duration: seconds,
  });
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${url}: ${result.non2xx} answers were not 2xx, ${result.errors} requests failed`);
  return result.requests.average;
}

/** Requests per second of the service with a warm tool, against a bare Hono route that gives the same JSON and one that runs the tool by hand. */
export async function benchHttp({ rounds }: Effort): Promise<BenchTable[]> {
  const server = spawn(process.execPath, [fileURLToPath(new URL("http-server.ts", import.meta.url))], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line]: unknown[] = await once(server.stdout, "data");
    const { service, floor, byHand, body }: Addresses = JSON.parse(String(line));
    const figures = [
      { name: "bare Hono route, the same JSON", url: floor, values: [] as number[] },
      { name: "Hono route that runs the tool by hand", url: byHand, values: [] as number[] },
      { name: "POST /v1/executions, warm tool", url: service, values: [] as number[] },
    ];
    for (let round = -1; round < rounds; round++) {
      for (const figure of figures) {
        const value = await load(figure.url, body);
        if (round >= 0) figure.values.push(value);
      }
    }
    return [{ title: `http, ${connections} connections, ${seconds} s a round`, unit: "req/s", rows: toRows(figures) }];
  } finally {
    server.kill();
  }
}
